DROP TABLE IF EXISTS
  notification, notification_event, batch, idempotency_key, outbox_group, dead_letter, api_key;
DROP FUNCTION IF EXISTS tocsin_make_partitions(timestamptz, integer), tocsin_lowest_id_at(timestamptz);
