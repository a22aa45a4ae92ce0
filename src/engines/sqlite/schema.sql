CREATE TABLE record (
    key BLOB NOT NULL PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    -- Nobody's, after a run came to nothing while it is not known what a run before did.
    owner BLOB,
    fence INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    -- 0: it runs; 1: it is done; 2: nobody knows what came of it.
    phase INTEGER NOT NULL,
    -- Times are nanoseconds since 1970. Only what runs has a lease.
    lease_until INTEGER,
    forgotten_at INTEGER NOT NULL,
    -- From when on nothing of it has to be remembered any more.
    ends INTEGER NOT NULL,
    -- The answer, or why nobody knows.
    outcome BLOB
) STRICT;

CREATE INDEX record_ends ON record (ends);

-- The largest time and the largest fence there ever were.
CREATE TABLE largest (time INTEGER NOT NULL, fence INTEGER NOT NULL) STRICT;

INSERT INTO largest VALUES (0, 0);

-- When the machine began to count how long it is up, as whoever opened the file first since it was started has told the time.
CREATE TABLE machine (boot TEXT, began INTEGER NOT NULL) STRICT;

INSERT INTO machine VALUES (NULL, 0);

PRAGMA application_id = 1651864691;

PRAGMA user_version = 1;
