-- The records with their leases, the values that came too late, the hosts, and the public names of the keys.

CREATE SEQUENCE tokenward.revisions;

CREATE TABLE tokenward.keys (
    key_id text PRIMARY KEY CHECK (length(key_id) BETWEEN 1 AND 64),
    state text NOT NULL CHECK (state IN ('coming', 'current', 'former')),
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE UNIQUE INDEX one_key_is_current ON tokenward.keys (state) WHERE state = 'current';

CREATE TABLE tokenward.records (
    profile text PRIMARY KEY CHECK (length(profile) BETWEEN 1 AND 512),
    revision bigint NOT NULL DEFAULT nextval('tokenward.revisions'),
    generation text NOT NULL CHECK (length(generation) BETWEEN 1 AND 128),
    replaced text,
    key_id text NOT NULL REFERENCES tokenward.keys,
    sealed bytea NOT NULL CHECK (octet_length(sealed) <= 262144),
    lease_holder text,
    lease_taken timestamptz,
    lease_until timestamptz,
    condemned text,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((lease_holder IS NULL) = (lease_taken IS NULL) AND (lease_holder IS NULL) = (lease_until IS NULL))
);

CREATE TABLE tokenward.orphans (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    profile text NOT NULL,
    generation text NOT NULL,
    key_id text NOT NULL REFERENCES tokenward.keys,
    sealed bytea NOT NULL CHECK (octet_length(sealed) <= 262144),
    kept_by text NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (profile, generation)
);

CREATE TABLE tokenward.hosts (
    holder text PRIMARY KEY CHECK (length(holder) BETWEEN 1 AND 256),
    host text NOT NULL,
    version text NOT NULL,
    key_ids text[] NOT NULL,
    last_seen timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX hosts_by_age ON tokenward.hosts (last_seen);

CREATE FUNCTION tokenward.tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_catalog.pg_notify('tokenward_changed', COALESCE(NEW.profile, OLD.profile));
    RETURN NULL;
END
$$;

-- A claim alone is told to nobody: only its holder has anything to do about it.
CREATE TRIGGER tell_of_changes AFTER UPDATE ON tokenward.records
    FOR EACH ROW WHEN (NEW.lease_holder IS NULL) EXECUTE FUNCTION tokenward.tell();

CREATE TRIGGER tell_of_beginnings_and_ends AFTER INSERT OR DELETE ON tokenward.records
    FOR EACH ROW EXECUTE FUNCTION tokenward.tell();
