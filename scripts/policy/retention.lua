--- How long what is kept. Rows older than `keep` are deleted, anonymised or archived (compressed NDJSON in a folder
--- below data_dir, or s3://bucket/prefix); what a legal hold names stays. `chainwatch retention plan` counts without
--- doing.
---
--- Tables and what tells their rows apart (`where`): transactions (orphaned, found: an anomaly was found on it),
--- anomalies (severity, reviewed, shadow, false_positive, rule), predictions (is_anomaly), outbox (delivered),
--- system_metrics (metric), job_runs (metric: the job's name), audit_logs (whole months), users (inactive ones).

retention {
  slice = 1000,   -- rows at a time

  { name = "orphans", table = "transactions", where = { orphaned = true }, keep = "30d", action = "delete" },
  { name = "shadow alerts", table = "anomalies", where = { shadow = true }, keep = "90d", action = "delete" },
  { name = "verdicts", table = "predictions", keep = "400d", action = "delete" },
  { name = "deliveries", table = "outbox", where = { delivered = true }, keep = "30d", action = "delete" },
  { name = "sampled metrics", table = "system_metrics", keep = "90d", action = "delete" },
  { name = "runs of jobs", table = "job_runs", keep = "90d", action = "delete" },
  { name = "former users", table = "users", keep = "2y", action = "anonymise" },
  { name = "audit log", table = "audit_logs", keep = "7y", action = "archive", to = "archive" },
}
