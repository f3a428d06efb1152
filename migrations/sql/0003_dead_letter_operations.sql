-- When recipient and content were taken out of a row that stays for its trace.
ALTER TABLE notification ADD COLUMN redacted_at timestamptz;

ALTER TABLE dead_letter
  ADD COLUMN resolution   text CHECK (resolution IN ('replayed', 'discarded')),
  ADD COLUMN resolved_at  timestamptz,
  ADD COLUMN resolved_by  text,
  ADD COLUMN resolved_why text,
  ADD COLUMN operation_id uuid,
  ADD CONSTRAINT dead_letter_resolved_by_someone
    CHECK ((resolution IS NULL) = (resolved_at IS NULL AND resolved_by IS NULL));

CREATE INDEX dead_letter_of_tenant ON dead_letter (tenant, id);

CREATE INDEX dead_letter_open ON dead_letter (tenant, id) WHERE resolution IS NULL;

-- What operators asked for, who they were and why: the audit, and the work list of the scheduler.
CREATE TABLE operation (
  id              uuid             NOT NULL PRIMARY KEY,
  tenant          text             NOT NULL,
  kind            text             NOT NULL CHECK (kind IN ('replay', 'discard', 'erase')),
  state           text             NOT NULL CHECK (state IN ('running', 'finished', 'stopped')),
  who             text             NOT NULL,
  reason          text             NOT NULL,
  filter          jsonb            NOT NULL,
  target          text,
  rate_per_second double precision,
  total           integer          NOT NULL,
  done            integer          NOT NULL DEFAULT 0,
  refused         integer          NOT NULL DEFAULT 0,
  reached         uuid             NOT NULL,
  until           uuid             NOT NULL,
  ready_at        timestamptz      NOT NULL,
  created_at      timestamptz      NOT NULL,
  updated_at      timestamptz      NOT NULL,
  finished_at     timestamptz,
  CONSTRAINT operation_names_nobody_afterwards CHECK (state = 'running' OR target IS NULL)
);

CREATE INDEX operation_running ON operation (ready_at) WHERE state = 'running';

CREATE INDEX operation_of_tenant ON operation (tenant, id);

-- How far a job that goes through the ledger by id has come.
CREATE TABLE walk (
  name        text        NOT NULL PRIMARY KEY,
  reached     uuid        NOT NULL,
  left_behind uuid[]      NOT NULL,
  updated_at  timestamptz NOT NULL
);

-- Takes both partitions of a week (named by its Monday, YYYYMMDD) out of their tables, and says
-- whether it did: not while a notification of that week still waits for something.
-- DETACH … CONCURRENTLY is not allowed beside a default partition. So readers and writers wait
-- for this, for as long as it takes to change the catalogue; what takes longer, removing the
-- files, comes after and hinders nobody.
CREATE FUNCTION tocsin_detach_week(week text) RETURNS boolean
LANGUAGE plpgsql AS $detach$
DECLARE
  waiting boolean;
  parent text;
BEGIN
  LOCK TABLE ONLY notification, ONLY notification_event IN ACCESS EXCLUSIVE MODE;
  EXECUTE format(
    'SELECT EXISTS (SELECT FROM %I WHERE queued_at IS NOT NULL)'
    '    OR EXISTS (SELECT FROM %1$I WHERE due_at IS NOT NULL)', 'notification_p' || week) INTO waiting;
  IF waiting THEN
    RETURN false;
  END IF;
  FOREACH parent IN ARRAY ARRAY['notification', 'notification_event'] LOOP
    EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, parent || '_p' || week);
  END LOOP;
  RETURN true;
END
$detach$;

-- Removes the tables that such weeks have left, and returns how many: also those of a process
-- that ended between the one and the other.
CREATE FUNCTION tocsin_drop_detached() RETURNS integer
LANGUAGE plpgsql AS $drop$
DECLARE
  leftover regclass;
  dropped integer := 0;
BEGIN
  FOR leftover IN
    SELECT oid::regclass FROM pg_class
     WHERE relkind = 'r' AND NOT relispartition AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'notification'::regclass)
       AND relname ~ '^notification(_event)?_p[0-9]{8}$'
  LOOP
    EXECUTE format('DROP TABLE %s', leftover);
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END
$drop$;
