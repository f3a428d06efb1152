-- When a notification ended, by the ledger's clock; `updated` where nothing says so.
CREATE FUNCTION tocsin_ended_at(delivered timestamptz, failed timestamptz, cancelled timestamptz, updated timestamptz)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE AS $ended$
  SELECT coalesce(greatest(delivered, failed, cancelled), updated)
$ended$;

-- Says whether something in a week (named by its Monday, YYYYMMDD) still waits, failed or was
-- replayed in the last `days` days. Indexes alone answer this: it is asked under a lock.
CREATE FUNCTION tocsin_week_in_use(week text, days integer) RETURNS boolean
LANGUAGE plpgsql AS $in_use$
DECLARE
  monday timestamptz := to_date(week, 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC';
  since timestamptz := now() - make_interval(days => days);
  in_use boolean;
BEGIN
  EXECUTE format(
    'SELECT EXISTS (SELECT FROM %I WHERE queued_at IS NOT NULL)'
    '    OR EXISTS (SELECT FROM %1$I WHERE due_at IS NOT NULL)', 'notification_p' || week) INTO in_use;
  RETURN in_use OR EXISTS (
    SELECT FROM dead_letter
     WHERE notification_id >= tocsin_lowest_id_at(monday)
       AND notification_id < tocsin_lowest_id_at(monday + interval '7 days')
       AND (resolution IS NULL AND created_at > since OR resolution = 'replayed' AND resolved_at > since));
END
$in_use$;

-- Takes both partitions of a week out of their tables, and says whether it did: not while it is
-- in use. DETACH … CONCURRENTLY is not allowed beside a default partition. So readers and writers
-- wait for this, for as long as it takes to change the catalogue; what takes longer, removing the
-- files, comes after and hinders nobody.
DROP FUNCTION tocsin_detach_week(text);
CREATE FUNCTION tocsin_detach_week(week text, days integer) RETURNS boolean
LANGUAGE plpgsql AS $detach$
DECLARE
  parent text;
BEGIN
  LOCK TABLE ONLY notification, ONLY notification_event IN ACCESS EXCLUSIVE MODE;
  IF tocsin_week_in_use(week, days) THEN
    RETURN false;
  END IF;
  FOREACH parent IN ARRAY ARRAY['notification', 'notification_event'] LOOP
    EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, parent || '_p' || week);
  END LOOP;
  RETURN true;
END
$detach$;

-- What the redaction has passed and could not redact yet, and when to look at it again.
CREATE TABLE unredacted (
  id       uuid        NOT NULL PRIMARY KEY,
  ready_at timestamptz NOT NULL
);

CREATE INDEX unredacted_ready ON unredacted (ready_at);

INSERT INTO unredacted (id, ready_at)
SELECT DISTINCT id, now() FROM walk, unnest(left_behind) AS id;

ALTER TABLE walk DROP COLUMN left_behind;
