-- A status change updates a row in place (HOT) while no index, and no predicate of a partial
-- index, names a column it changes. So `status`, `sequence`, `lease_until` and `updated_at`
-- are in none of them; `queued_at` and `due_at` change only on the way in and out.
-- Rows are claimed in the order they were written, so a page's rows are all updated at about
-- the same time: half of each page is left for that (fillfactor 50). Measured against 80: as
-- fast, HOT updates 50 % instead of 14 %, and a quarter less disk after a drain.
CREATE TABLE notification (
  id                  uuid        NOT NULL PRIMARY KEY,
  tenant              text        NOT NULL,
  channel             text        NOT NULL,
  priority            text        NOT NULL,
  status              text        NOT NULL,
  sequence            integer     NOT NULL,
  attempts            integer     NOT NULL DEFAULT 0,
  max_attempts        integer     NOT NULL,
  recipient           text        NOT NULL,
  subject             text,
  content             text        NOT NULL,
  correlation_id      text        NOT NULL,
  traceparent         text,
  batch_id            uuid,
  template_id         uuid,
  idempotency_key     text,
  metadata            jsonb,
  queued_at           timestamptz,
  due_at              timestamptz,
  lease_until         timestamptz,
  lease_owner         text,
  scheduled_at        timestamptz,
  expires_at          timestamptz,
  next_retry_at       timestamptz,
  provider            text,
  provider_message_id text,
  failure_class       text,
  failure_reason      text,
  created_at          timestamptz NOT NULL,
  updated_at          timestamptz NOT NULL,
  last_attempted_at   timestamptz,
  delivered_at        timestamptz,
  failed_at           timestamptz,
  cancelled_at        timestamptz,
  CONSTRAINT notification_known_channel
    CHECK (channel IN ('sms', 'email', 'push')),
  CONSTRAINT notification_known_priority
    CHECK (priority IN ('high', 'normal', 'low')),
  CONSTRAINT notification_known_status
    CHECK (status IN ('pending', 'queued', 'processing', 'retrying', 'delivered', 'failed', 'cancelled')),
  -- Nothing accepted is stranded: what is not final is on the bus or has a due time.
  CONSTRAINT notification_has_next_step
    CHECK ((status IN ('delivered', 'failed', 'cancelled')) = (queued_at IS NULL AND due_at IS NULL))
) PARTITION BY RANGE (id);

-- What should be on the bus, oldest first: reconciled against the lane's oldest message.
CREATE INDEX notification_on_bus ON notification (channel, priority, queued_at)
  WHERE queued_at IS NOT NULL;

-- What waits for its time.
CREATE INDEX notification_due ON notification (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE notification_default PARTITION OF notification DEFAULT WITH (fillfactor = 50);

CREATE TABLE notification_event (
  notification_id uuid NOT NULL,
  id              uuid NOT NULL DEFAULT uuidv7(),
  sequence        integer,
  event           text NOT NULL,
  details         jsonb,
  PRIMARY KEY (notification_id, id)
) PARTITION BY RANGE (notification_id);

CREATE TABLE notification_event_default PARTITION OF notification_event DEFAULT;

-- Makes the weekly partitions of both tables that are not there yet, from the week of
-- `first` on for `weeks` weeks (Mondays, UTC), and returns how many it made. A week whose
-- rows already fell into the default partition is moved out of it.
CREATE FUNCTION tocsin_make_partitions(first timestamptz, weeks integer) RETURNS integer
LANGUAGE plpgsql AS $make$
DECLARE
  parent text;
  key_column text;
  partition text;
  lower_id uuid;
  upper_id uuid;
  monday timestamptz;
  made integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('tocsin_make_partitions'));
  FOR week IN 0 .. weeks - 1 LOOP
    monday := (date_trunc('week', first AT TIME ZONE 'UTC') + week * interval '7 days') AT TIME ZONE 'UTC';
    lower_id := tocsin_lowest_id_at(monday);
    upper_id := tocsin_lowest_id_at(monday + interval '7 days');
    FOR parent, key_column IN VALUES ('notification', 'id'), ('notification_event', 'notification_id') LOOP
      partition := parent || '_p' || to_char(monday AT TIME ZONE 'UTC', 'YYYYMMDD');
      CONTINUE WHEN to_regclass(partition) IS NOT NULL;
      EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition, parent);
      IF parent = 'notification' THEN
        EXECUTE format('ALTER TABLE %I SET (fillfactor = 50)', partition);
      END IF;
      EXECUTE format(
        'WITH moved AS (DELETE FROM %I WHERE %I >= %L AND %I < %L RETURNING *) INSERT INTO %I SELECT * FROM moved',
        parent || '_default', key_column, lower_id, key_column, upper_id, partition);
      EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        parent, partition, lower_id, upper_id);
      made := made + 1;
    END LOOP;
  END LOOP;
  RETURN made;
END
$make$;

CREATE FUNCTION tocsin_lowest_id_at(moment timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE AS $lowest$
  SELECT (lpad(to_hex(trunc(extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$lowest$;

SELECT tocsin_make_partitions(now() - interval '7 days', 6);

CREATE TABLE batch (
  id             uuid        NOT NULL PRIMARY KEY,
  tenant         text        NOT NULL,
  size           integer     NOT NULL,
  last_id        uuid        NOT NULL,
  correlation_id text        NOT NULL,
  created_at     timestamptz NOT NULL
);

CREATE TABLE idempotency_key (
  id             uuid        NOT NULL PRIMARY KEY DEFAULT uuidv7(),
  tenant         text        NOT NULL,
  endpoint       text        NOT NULL,
  key            text        NOT NULL,
  body_hash      bytea       NOT NULL,
  resource_id    uuid        NOT NULL,
  response       bytea       NOT NULL,
  correlation_id text        NOT NULL,
  created_at     timestamptz NOT NULL,
  expires_at     timestamptz NOT NULL,
  UNIQUE (tenant, endpoint, key)
);

CREATE INDEX idempotency_key_expiry ON idempotency_key (expires_at);

CREATE TABLE outbox_group (
  id               uuid        NOT NULL PRIMARY KEY,
  notification_ids uuid[]      NOT NULL,
  created_at       timestamptz NOT NULL
) WITH (autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);

CREATE TABLE dead_letter (
  id              uuid        NOT NULL PRIMARY KEY DEFAULT uuidv7(),
  notification_id uuid        NOT NULL,
  sequence        integer     NOT NULL,
  tenant          text        NOT NULL,
  channel         text        NOT NULL,
  priority        text        NOT NULL,
  attempts        integer     NOT NULL,
  failure_class   text        NOT NULL,
  reason          text        NOT NULL,
  created_at      timestamptz NOT NULL,
  published_at    timestamptz,
  UNIQUE (notification_id, sequence)
);

CREATE INDEX dead_letter_unpublished ON dead_letter (created_at) WHERE published_at IS NULL;

CREATE TABLE api_key (
  id           uuid        NOT NULL PRIMARY KEY,
  tenant       text        NOT NULL,
  name         text        NOT NULL,
  role         text        NOT NULL CHECK (role IN ('sender', 'reader', 'operator', 'admin')),
  secret_hash  bytea       NOT NULL UNIQUE,
  created_at   timestamptz NOT NULL,
  expires_at   timestamptz,
  revoked_at   timestamptz,
  last_used_at timestamptz
);
