-- What a purchase looks like in silver.purchases. The system columns and _extra come by themselves.
select
  id,
  purchased_on,
  quarter,
  weekday,
  customer_id,
  cohort,
  loyalty_tier,
  purchased_on = first_purchase_on as first_day,
  discs,
  amount,
  case when discs > 0 then round(amount / discs, 2) end as amount_per_disc,
  case when amount >= 100 then 'large' when amount >= 25 then 'medium' else 'small' end as basket,
  amount = 0 as free
from events
