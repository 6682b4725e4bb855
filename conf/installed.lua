-- chainwatch settings as installed. `chainwatch check --defaults` prints every key with its default.
return {
	general = { data_dir = "/var/lib/chainwatch" },
	database = { migrations_dir = "@SHARE@/migrations" },
	rules = { dir = "@SHARE@/rules", conf = "/etc/chainwatch/rules.lua", lists = "/etc/chainwatch/lists" },
	scripts = { dir = "@SHARE@/scripts" },
}
