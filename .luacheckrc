-- Globals that the engine gives to scripts; everything else is a mistake.
std = "luajit"
max_line_length = 120
exclude_files = { "scripts/meta/*", "tests/fuzz/corpus" }
local rule_api = { "rule", "alert", "seconds", "window", "stat", "key", "list", "lists", "seq", "sketch", "txs", "tx",
	"each", "sequence", "compare_amounts", "drift", "graph", "series", "outlier", "log" }
for letter in ("ABCDEFGHIJKLMNOPQRSTUVWXYZ"):gmatch "." do rule_api[#rule_api + 1] = letter end
local script_api = { "endpoint", "reply", "reply_raw", "reply_text", "problem", "db", "json", "time", "log", "predict", "engine", "http", "crypto", "labels", "job", "jobs", "retention",
	"policy", "detect", "anomalies", "auth" }
-- Descriptions and tests of rules stay in one piece.
files["rules/"] = { read_globals = rule_api, max_line_length = 160 }
files["scripts/"] = { read_globals = script_api }
files["conf/"] = { read_globals = { "env", "file" } }
-- Specs: SQL and bodies stay in one piece; fakes take arguments that they do not use (212).
files["tests/"] = { std = "+busted", ignore = { "212" }, max_line_length = 160 }
