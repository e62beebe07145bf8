//! The registrar under faults: it is killed, the API server fails or is away, and another registrar works beside it. Whatever
//! happens, no answer is wrong, nothing foreign is touched, and the same call again comes to the full result.

mod away;
mod failing;
mod history;
mod killed;
mod lane;
mod live;
mod release;
mod scenario;
mod two_registrars;
