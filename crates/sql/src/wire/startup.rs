//! The beginning of a connection: who may come in.

use crate::engine::DEFAULT_ZONE;
use crate::functions::SERVER_VERSION;
use crate::wire::Shared;
use crate::wire::error::fatal;
use async_trait::async_trait;
use datafusion_postgres::pgwire::api::auth::sasl::SASLAuthStartupHandler;
use datafusion_postgres::pgwire::api::auth::sasl::scram::{
    SCRAM_ITERATIONS, ScramAuth, gen_salted_password, random_nonce,
};
use datafusion_postgres::pgwire::api::auth::{
    AuthSource, DefaultServerParameterProvider, LoginInfo, Password, StartupHandler, finish_authentication,
    protocol_negotiation, save_startup_parameters_to_metadata,
};
use datafusion_postgres::pgwire::api::{
    ClientInfo, ConnectionGuard, ConnectionHandle, PidSecretKeyGenerator, RandomPidSecretKeyGenerator,
};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use futures::Sink;
use std::fmt::{self, Debug};
use std::sync::{Arc, LazyLock};

/// One for all connections: their process numbers must differ.
static KEYS: LazyLock<Arc<RandomPidSecretKeyGenerator>> = LazyLock::new(Arc::default);

/// How one connection begins.
pub enum Startup {
    /// There is no seat left.
    Full,
    Trust(Arc<Shared>),
    Scram(Box<SASLAuthStartupHandler<DefaultServerParameterProvider>>),
}

impl Startup {
    pub fn new(shared: &Arc<Shared>, seated: bool) -> Self {
        match &shared.options.password {
            _ if !seated => Self::Full,
            None => Self::Trust(shared.clone()),
            Some(password) => {
                let account = Account { user: shared.options.user.clone(), password: password.clone() };
                let mut scram = ScramAuth::new(Arc::new(account));
                scram.set_iterations(SCRAM_ITERATIONS);
                let handler = SASLAuthStartupHandler::new(Arc::new(parameters()))
                    .with_scram(scram)
                    .with_pid_secret_key_generator(KEYS.clone())
                    .with_connection_manager(shared.cancels.manager.clone());
                Self::Scram(Box::new(handler))
            }
        }
    }
}

#[async_trait]
impl StartupHandler for Startup {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match self {
            Self::Full => Err(fatal("53300", "sorry, too many clients already")),
            Self::Scram(handler) => handler.on_startup(client, message).await,
            Self::Trust(shared) => {
                let PgWireFrontendMessage::Startup(startup) = &message else { return Ok(()) };
                protocol_negotiation(client, startup).await?;
                save_startup_parameters_to_metadata(client, startup);
                let (pid, key) = KEYS.generate(client);
                client.set_pid_and_secret_key(pid, key.clone());
                let (handle, guard) = shared.cancels.manager.register(pid, key);
                client.session_extensions().insert::<Arc<ConnectionHandle>>(handle);
                client.session_extensions().insert::<ConnectionGuard>(guard);
                finish_authentication(client, &parameters()).await
            }
        }
    }
}

fn parameters() -> DefaultServerParameterProvider {
    let mut parameters = DefaultServerParameterProvider::default();
    parameters.server_version = SERVER_VERSION.to_owned();
    parameters.search_path = DEFAULT_ZONE.to_owned();
    parameters.is_superuser = false;
    parameters.default_transaction_read_only = true;
    parameters.time_zone = "UTC".to_owned();
    parameters
}

/// The one account.
struct Account {
    user: String,
    password: String,
}

impl Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("user", &self.user).finish_non_exhaustive()
    }
}

#[async_trait]
impl AuthSource for Account {
    async fn get_password(&self, login: &LoginInfo) -> PgWireResult<Password> {
        let user = login.user().unwrap_or_default();
        if user != self.user {
            return Err(PgWireError::InvalidPassword(user.to_owned()));
        }
        let salt = random_nonce().into_bytes();
        let salted = gen_salted_password(&self.password, &salt, SCRAM_ITERATIONS);
        Ok(Password::new(Some(salt), salted))
    }
}
