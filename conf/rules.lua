-- Parameters of rules, by rule id; each overrides the default in the rule's file and must have its type.
-- Taken by a reload. Example:
--   ["eth.fan_out"] = { window = "5m", receivers = 40 },
return {
}
