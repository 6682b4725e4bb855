--- Carries scripts/policy/retention.lua out, at night.

job {
  name = "retention", summary = "deletes, anonymises and archives what the retention policy says",
  at = "03:20", jitter = "40m", timeout = "6h",
  run = function(ctx) return jobs.run_retention(ctx) end,
}
