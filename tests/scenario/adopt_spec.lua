--- chainwatch migrate adopt: a database of the reference system, made here, becomes ours.

local engine = require "tests.support.engine"
local postgres = require "tests.support.postgres"
local cjson = require "cjson"

describe("adopt", function()
  local pg
  setup(function() pg = postgres.start() end)
  teardown(function() pg:stop() end)

  local function adopt(url, args)
    return engine.run(string.format("DATABASE_URL=%q %s migrate adopt %s </dev/null", url, engine.bin, args))
  end
  local function reference(name, more)
    local url = pg:database(name)
    pg.sql(url, engine.read("tests/data/reference_schema.sql") .. (more or ""))
    return url
  end

  it("takes all nine tables over, exact, and gives them back", function()
    local url = reference("whole")
    local before, sums = pg.dump(url), pg.sql(url, "SELECT sum(value), count(*) FROM transactions")
    local code, words = adopt(url, "")
    assert.equal(2, code, words)
    assert.is_truthy(words:find("values are in ether (largest 9.9984), gas prices in gwei", 1, true), words)
    assert.is_truthy(words:find("say --yes", 1, true), words)
    assert.equal(before, pg.dump(url))
    code, words = adopt(url, "--yes --json")
    assert.equal(0, code, words)
    local report = {}
    for _, r in ipairs(cjson.decode(words:match("\n(%[.*)"))) do report[r.table .. " " .. r.what] = r.adopted end
    for name, n in pairs { users = 20, api_keys = 10, models = 3, model_versions = 6, transactions = 2000, anomalies = 90,
      predictions = 1500, audit_logs = 200, system_metrics = 300 } do
      assert.equal(tostring(n), report[name .. " rows"], name)
    end
    assert.equal("8564208115715000000000", report["transactions sum of value, wei"])
    assert.equal("2000", report["transactions values that read back as the same double"])
    -- a double of ether is the decimal number that it prints as, to the last wei; the chain's order is the order of ids
    assert.equal("791900001000000000|21500000000|2024-03-01 00:00:03+00", pg.sql(url,
      "SELECT value, gas_price, timestamp FROM transactions ORDER BY id LIMIT 1"))
    assert.equal("t", pg.sql(url, "SELECT bool_and(n = rn) FROM (SELECT id AS n, row_number() OVER (ORDER BY block_number, timestamp) "
      .. "AS rn FROM transactions) x"))
    assert.equal("t", pg.sql(url, "SELECT hashed_password = (SELECT hashed_password FROM legacy.users WHERE email = u.email) AND "
      .. "roles = '{analyst,viewer}' FROM users u WHERE email = 'User4@Example.org'"))
    assert.equal("5", pg.sql(url, "SELECT count(*) FROM api_keys WHERE is_active AND hashed_key = sha256(('secret' || substr(name, 5))::bytea)"))
    assert.equal("18|legacy", pg.sql(url, "SELECT count(*), max(m.name) FROM anomalies a JOIN model_versions v ON v.id = a.model_id "
      .. "JOIN models m ON m.id = v.model_id WHERE v.version = '0'"))
    assert.equal("15|15|60", pg.sql(url, "SELECT count(*) FILTER (WHERE false_positive), count(*) FILTER (WHERE NOT false_positive), "
      .. "count(*) FILTER (WHERE status = 'open') FROM anomalies"))
    -- what it became is what migrations declare, and goes on from there
    code, words = engine.run(string.format("DATABASE_URL=%q %s migrate diff", url, engine.bin))
    assert.equal(0, code, words)
    pg.sql(url, "INSERT INTO users (email) VALUES ('new@example.org')")
    assert.equal("21", pg.sql(url, "SELECT max(id) FROM users"))
    code, words = adopt(url, "--yes")
    assert.equal(2, code)
    assert.is_truthy(words:find("has been adopted already", 1, true), words)
    assert.equal(0, (adopt(url, "--undo --yes")))
    assert.equal(before, pg.dump(url))
    assert.equal(sums, pg.sql(url, "SELECT sum(value), count(*) FROM transactions"))
    assert.equal(0, (adopt(url, "--yes --drop")))
    assert.equal("0", pg.sql(url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'legacy'"))
    assert.equal("2000", pg.sql(url, "SELECT count(*) FROM transactions"))
  end)

  it("takes amounts in wei, and does not guess what cannot be told", function()
    local url = reference("wei", "UPDATE transactions SET value = value * 1e18, gas_price = gas_price * 1e9;")
    local code, words = adopt(url, "--yes --chain-id 5")
    assert.equal(0, code, words)
    assert.equal("791900001000000000|5", pg.sql(url, "SELECT value, chain_id FROM transactions ORDER BY id LIMIT 1"))
    url = reference("odd", "UPDATE transactions SET value = value * 1e9 + 0.5;")
    code, words = adopt(url, "--yes")
    assert.equal(2, code, words)
    assert.is_truthy(words:find("say --amounts ether or wei", 1, true), words)
    code, words = adopt(url, "--yes --amounts gwei")
    assert.equal(2, code, words)
    assert.is_truthy(words:find('--amounts is ether, wei or auto, not "gwei"', 1, true), words)
  end)

  it("names rows that are no transactions, and goes on from where it stood", function()
    local url = reference("bad", [[INSERT INTO transactions (id, hash, block_number, "timestamp", from_address, value)
      VALUES ('bad-1', '0x12', 1, now(), '0x', -1);]])
    local code, words = adopt(url, "--yes")
    assert.equal(1, code, words)
    assert.is_truthy(words:find("1 row(s) of transactions: ", 1, true), words)
    assert.is_truthy(words:find("the first: id bad-1", 1, true), words)
    assert.equal("2001", pg.sql(url, "SELECT count(*) FROM legacy.transactions"))
    code, words = adopt(url, "--yes --skip-invalid")
    assert.equal(0, code, words)
    assert.is_truthy(words:find("left behind: hash, addresses, value or gas price", 1, true), words)
    assert.equal("2000", pg.sql(url, "SELECT count(*) FROM transactions"))
  end)

  it("leaves other databases alone", function()
    local url = pg:database("other")
    local code, words = adopt(url, "--yes")
    assert.equal(2, code, words)
    assert.is_truthy(words:find("this is no database of the reference system", 1, true), words)
    code, words = adopt(url, "--undo --yes")
    assert.equal(2, code)
    assert.is_truthy(words:find("there is nothing to undo", 1, true), words)
  end)
end)
