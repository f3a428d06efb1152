DROP TABLE IF EXISTS
  notification, notification_event, batch, idempotency_key, outbox_group, dead_letter, api_key;
