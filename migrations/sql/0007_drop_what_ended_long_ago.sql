ALTER TABLE walk ADD COLUMN left_behind uuid[] NOT NULL DEFAULT '{}';
ALTER TABLE walk ALTER COLUMN left_behind DROP DEFAULT;
UPDATE walk SET left_behind = ARRAY(SELECT id FROM unredacted);
DROP TABLE IF EXISTS unredacted;
DROP FUNCTION IF EXISTS
  tocsin_detach_week(text, integer), tocsin_week_in_use(text, integer),
  tocsin_ended_at(timestamptz, timestamptz, timestamptz, timestamptz);

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
