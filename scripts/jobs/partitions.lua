--- Makes the months ahead of predictions, audit_logs and system_metrics.

job {
  name = "partitions", summary = "makes the partitions of the coming months",
  every = "6h", jitter = "10m", timeout = "5m",
  run = function() return db.partitions:ahead { months = 3 } end,
}
