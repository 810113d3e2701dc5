//! Conversations with Phoenix, played again to us. See `tests/transcripts` for what they are.

mod accepted;
mod comparison;
mod documented;
mod failing;
mod json;
mod recording;
mod replay;
mod timetable;

use std::ops::RangeInclusive;

use self::replay::{Pace, play, play_scenes};

#[test]
fn transcript_connect_http_is_answered_alike() {
    play("connect_http", Pace::Barriers);
}

#[test]
fn transcript_v1_join_is_answered_alike() {
    play("v1_join", Pace::Barriers);
}

#[test]
fn transcript_v2_join_is_answered_alike() {
    play("v2_join", Pace::Barriers);
}

#[test]
fn transcript_v1_replies_is_answered_alike() {
    play("v1_replies", Pace::Barriers);
}

#[test]
fn transcript_v2_replies_is_answered_alike() {
    play("v2_replies", Pace::Barriers);
}

#[test]
fn transcript_v1_join_ref_rules_is_answered_alike() {
    play("v1_join_ref_rules", Pace::Barriers);
}

#[test]
fn transcript_v2_join_ref_rules_is_answered_alike() {
    play("v2_join_ref_rules", Pace::Barriers);
}

#[test]
fn transcript_v1_stop_crash_is_answered_alike() {
    play("v1_stop_crash", Pace::Barriers);
}

#[test]
fn transcript_v2_stop_crash_is_answered_alike() {
    play("v2_stop_crash", Pace::Barriers);
}

#[test]
fn transcript_v1_heartbeat_is_answered_alike() {
    play("v1_heartbeat", Pace::Barriers);
}

#[test]
fn transcript_v2_heartbeat_is_answered_alike() {
    play("v2_heartbeat", Pace::Barriers);
}

#[test]
fn transcript_v1_broadcast_is_answered_alike() {
    play("v1_broadcast", Pace::Barriers);
}

#[test]
fn transcript_v2_broadcast_is_answered_alike() {
    play("v2_broadcast", Pace::Barriers);
}

#[test]
fn transcript_v1_slow_is_answered_alike() {
    play("v1_slow", Pace::Recorded);
}

#[test]
fn transcript_v2_slow_is_answered_alike() {
    play("v2_slow", Pace::Recorded);
}

#[test]
fn transcript_v1_disconnect_is_answered_alike() {
    play("v1_disconnect", Pace::Barriers);
}

#[test]
fn transcript_v2_disconnect_is_answered_alike() {
    play("v2_disconnect", Pace::Barriers);
}

#[test]
fn transcript_v1_presence_is_answered_alike() {
    play("v1_presence", Pace::Barriers);
}

#[test]
fn transcript_v2_presence_is_answered_alike() {
    play("v2_presence", Pace::Barriers);
}

#[test]
fn transcript_v1_binary_is_answered_alike() {
    play("v1_binary", Pace::Barriers);
}

#[test]
fn transcript_v2_binary_is_answered_alike() {
    play("v2_binary", Pace::Barriers);
}

#[test]
fn transcript_v1_default_is_answered_alike() {
    play("v1_default", Pace::Barriers);
}

#[test]
fn transcript_malformed_is_answered_alike() {
    play("malformed", Pace::Barriers);
}

#[test]
fn transcript_idle_timeout_is_answered_alike() {
    play("idle_timeout", Pace::Recorded);
}

#[test]
fn transcript_pipelined_order_is_answered_alike() {
    play("pipelined_order", Pace::Barriers);
}

#[test]
fn transcript_auth_token_is_answered_alike() {
    play("auth_token", Pace::Barriers);
}

#[test]
fn transcript_shutdown_is_answered_alike() {
    play("shutdown", Pace::Barriers);
}

/// Sessions that know nothing of each other, and the first of them in three takes: each of these waits for ten seconds once.
#[test]
fn transcript_longpoll_is_answered_alike() {
    const SESSIONS: &[&[RangeInclusive<u32>]] = &[
        &[1..=34],
        &[1..=9, 35..=39],
        &[1..=9, 40..=47],
        &[48..=53],
        &[54..=63],
        &[64..=73],
        &[74..=83],
        &[84..=112],
        &[113..=119],
        &[120..=129],
        &[130..=140],
        &[141..=147],
        &[148..=154],
        &[155..=169],
    ];
    play_scenes("longpoll", Pace::Recorded, SESSIONS);
}
