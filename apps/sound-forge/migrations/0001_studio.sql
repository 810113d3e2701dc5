-- Written so that PostgreSQL reads it too: text ids, times as milliseconds since 1970 in UTC,
-- JSON kept as text, and no type or clause of SQLite's own.

CREATE TABLE users (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    created_at  BIGINT NOT NULL
);

-- A key is kept only as its SHA-256; the prefix is what a list shows of it.
CREATE TABLE api_keys (
    id            TEXT PRIMARY KEY,
    user_id       TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    prefix        TEXT NOT NULL,
    hash          TEXT NOT NULL UNIQUE,
    created_at    BIGINT NOT NULL,
    last_used_at  BIGINT,
    revoked_at    BIGINT
);

-- One-time links that log in their user.
CREATE TABLE login_links (
    hash        TEXT PRIMARY KEY,
    user_id     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at  BIGINT NOT NULL
);

CREATE TABLE tracks (
    id           TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title        TEXT NOT NULL,
    source_url   TEXT NOT NULL,
    format       TEXT,
    sample_rate  BIGINT,
    channels     BIGINT,
    duration_ms  BIGINT,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    UNIQUE (user_id, source_url)
);
CREATE INDEX tracks_by_user ON tracks (user_id, created_at);

CREATE TABLE jobs (
    id            TEXT PRIMARY KEY,
    user_id       TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    track_id      TEXT NOT NULL REFERENCES tracks (id) ON DELETE CASCADE,
    job_type      TEXT NOT NULL,
    status        TEXT NOT NULL,
    progress      BIGINT NOT NULL,
    message       TEXT NOT NULL,
    input         TEXT NOT NULL,
    result        TEXT,
    error         TEXT,
    next_job_id   TEXT,
    attempt       BIGINT NOT NULL,
    max_attempts  BIGINT NOT NULL,
    -- Not before this moment: where the back-off of a failed try lives, so it survives a restart.
    run_at        BIGINT NOT NULL,
    -- Set while a worker holds the job. Every write of a worker names the token it was given,
    -- so a worker whose lease was taken away changes nothing.
    lease_token   TEXT,
    lease_until   BIGINT,
    boot_id       TEXT,
    -- Null once the job is finished and its window is over: then a new one may be made.
    unique_key    TEXT UNIQUE,
    -- Counts the writes, so that a listener can tell a late message from a new one.
    revision      BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    finished_at   BIGINT
);
CREATE INDEX jobs_due ON jobs (job_type, status, run_at);
CREATE INDEX jobs_by_user ON jobs (user_id, created_at);
CREATE INDEX jobs_by_track ON jobs (track_id);
CREATE INDEX jobs_leased ON jobs (lease_until);

-- What a finished stage left on disk: the folder `{kind}/{id}`, with its main file.
CREATE TABLE outputs (
    id          TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    user_id     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    track_id    TEXT NOT NULL REFERENCES tracks (id) ON DELETE CASCADE,
    file        TEXT NOT NULL,
    file_size   BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    UNIQUE (track_id, kind)
);

CREATE TABLE stems (
    id          TEXT PRIMARY KEY,
    output_id   TEXT NOT NULL REFERENCES outputs (id) ON DELETE CASCADE,
    user_id     TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    track_id    TEXT NOT NULL REFERENCES tracks (id) ON DELETE CASCADE,
    stem        TEXT NOT NULL,
    file        TEXT NOT NULL,
    file_size   BIGINT NOT NULL
);
CREATE INDEX stems_by_track ON stems (track_id);

-- The few facts a list shows; the whole analysis is the output's file.
CREATE TABLE analyses (
    track_id       TEXT PRIMARY KEY REFERENCES tracks (id) ON DELETE CASCADE,
    output_id      TEXT NOT NULL REFERENCES outputs (id) ON DELETE CASCADE,
    tempo          DOUBLE PRECISION,
    musical_key    TEXT,
    loudness_lufs  DOUBLE PRECISION
);
