//! Amazon States Language: definitions, their faults, and everything that is evaluated in them.
