--- Transactions in, verdicts out: one, many, known ones, wrong ones. Each group runs twice on one engine: what leaks from
--- one request to the next is seen.

local engine = require "tests.support.engine"
local cjson = require "cjson"


describe("predict", function()
  local e
  setup(function() e = engine.start() end)
  teardown(function() e:stop() end)

  for round = 1, 2 do
    describe("round " .. round, function()
      it("stores one transaction, exact to the wei", function()
        local tx = engine.tx { value = "115792089237316195423570985008687907853269984665640564039457584007913129639935",
          gasPrice = "0xde0b6b3a7640001", input = "0xa9059cbb00" }
        local status, verdict = e:post("/api/v1/predict", tx)
        assert.equal(200, status)
        assert.equal(tx.hash, verdict.hash)
        assert.is_false(verdict.duplicate)
        local code, stored = e:get("/api/v1/transactions/" .. tx.hash)
        assert.equal(200, code)
        assert.equal(tx.value, stored.value)
        assert.equal("1000000000000000001", stored.gasPrice)
        assert.equal("0xa9059cbb00", stored.input)
        assert.equal(tostring(tx.blockNumber), stored.blockNumber)
        assert.equal(tostring(tx.timestamp), stored.timestamp)
      end)

      it("takes snake_case names and RFC 3339 times", function()
        local base = engine.tx()
        local status = e:post("/api/v1/predict", { hash = base.hash, block_number = "0x1406f40",
          timestamp = "2026-01-31T12:00:00Z", from_address = base.from, to_address = cjson.null, value = "1",
          gas = "21000", gas_price = 5, nonce = 0, something_else = { 1 } })
        assert.equal(200, status)
        local _, stored = e:get("/api/v1/transactions/" .. base.hash)
        assert.equal("21000000", stored.blockNumber)
        assert.equal("1769860800", stored.timestamp)
        assert.equal(cjson.null, stored.to)
      end)

      it("answers a known transaction with the stored verdict", function()
        local tx = engine.tx()
        local _, first = e:post("/api/v1/predict", tx)
        local status, again = e:post("/api/v1/predict", tx)
        assert.equal(200, status)
        assert.is_true(again.duplicate)
        assert.equal(first.transaction_id, again.transaction_id)
        assert.equal("1", e:sql("SELECT count(*) FROM transactions WHERE hash = '\\x" .. tx.hash:sub(3) .. "'"))
        assert.equal("1", e:sql("SELECT count(*) FROM predictions WHERE transaction_id = " .. first.transaction_id))
      end)

      it("fires a rule and shows it everywhere", function()
        local sender, fired
        for k = 1, 3 do
          sender = string.format("0x%040x", 7000 + 10 * round + k)
          for i = 1, 26 do
            local _, verdict = e:post("/api/v1/predict", engine.tx { from = sender,
              to = string.format("0x%040x", 100 * round + i), timestamp = 1740000000 + i })
            fired = verdict.is_anomaly and verdict or fired
          end
        end
        assert.is_truthy(fired)
        local alert = fired.alerts[1]
        assert.equal("eth.fan_out", alert.rule)
        assert.equal("high", alert.severity)
        assert.is_truthy(alert.explanation:find(sender, 1, true))
        local status, one = e:get("/api/v1/anomalies/" .. alert.id)
        assert.equal(200, status)
        assert.equal(fired.hash, one.transaction.hash)
        local _, of_sender = e:get("/api/v1/anomalies?severity=high&address=" .. sender)
        assert.is_true(#of_sender.items >= 1)
        local _, page = e:get("/api/v1/anomalies?severity=high&rule=eth.fan_out&limit=2")
        assert.equal(2, #page.items)
        local _, following = e:get("/api/v1/anomalies?severity=high&rule=eth.fan_out&limit=2&cursor=" .. page.next)
        assert.is_true(following.items[1].id < page.items[2].id)
        local _, with = e:get("/api/v1/transactions/" .. fired.hash .. "?include=anomalies,predictions")
        assert.equal(alert.id, with.anomalies[1].id)
        assert.is_true(with.predictions[1].is_anomaly)
      end)

      it("takes a review", function()
        local _, page = e:get("/api/v1/anomalies?reviewed=false&limit=1")
        local id = page.items[1].id
        local status, row = e:post("/api/v1/anomalies/" .. id .. "/review", { false_positive = true, note = "payroll" })
        assert.equal(200, status)
        assert.is_true(row.reviewed)
        assert.equal("dismissed", row.status)
        assert.equal(422, (e:post("/api/v1/anomalies/" .. id .. "/review", { false_positive = "perhaps" })))
        assert.equal(404, (e:post("/api/v1/anomalies/999999999/review", { false_positive = true })))
      end)

      it("takes a batch, all or none", function()
        local txs = { engine.tx(), engine.tx(), engine.tx() }
        txs[4] = txs[1]
        local status, answer = e:post("/api/v1/predict/batch", { transactions = txs })
        assert.equal(200, status)
        assert.equal(4, answer.count)
        assert.equal(txs[2].hash, answer.results[2].hash)
        assert.is_true(answer.results[4].duplicate)
        local fresh = engine.tx()
        status, answer = e:post("/api/v1/batch/predict", { transactions = { fresh, engine.tx { value = "-1" }, {} } })
        assert.equal(422, status)
        assert.equal("/transactions/1/value", answer.errors[1].pointer)
        assert.equal(404, (e:get("/api/v1/transactions/" .. fresh.hash)))
      end)

      it("answers an NDJSON stream line by line, in order", function()
        local a, b = engine.tx(), engine.tx()
        local body = cjson.encode(a) .. "\n{\"hash\":1}\r\n\nnot json\n" .. cjson.encode(b)
        local status, text, headers = e:post("/api/v1/predict/batch", body, { ["Content-Type"] = "application/x-ndjson" })
        assert.equal(200, status)
        assert.equal("application/x-ndjson", headers["content-type"])
        local lines = {}
        for line in text:gmatch("[^\n]+") do lines[#lines + 1] = cjson.decode(line) end
        assert.equal(4, #lines)
        assert.equal(a.hash, lines[1].hash)
        assert.equal("transaction_invalid", lines[2].code)
        assert.equal("json_syntax", lines[3].code)
        assert.equal(b.hash, lines[4].hash)
      end)

      local refused = {
        { "nothing", "", 400, "json_syntax" },
        { "half an object", '{"hash":', 400, "json_syntax" },
        { "a key twice", '{"hash":1,"hash":2}', 422, "json_refused" },
        { "an array", "[]", 422, "transaction_invalid" },
        { "no fields", "{}", 422, "transaction_invalid" },
        { "too deep", ("["):rep(100) .. ("]"):rep(100), 400, "json_too_deep" },
        { "a bare NUL in a string", '{"hash":"\0"}', 400, "json_syntax" },
        { "a fraction of a wei", cjson.encode(engine.tx { value = "1.5" }), 422, "transaction_invalid" },
        { "2^256", cjson.encode(engine.tx { value = "115792089237316195423570985008687907853269984665640564039457584007913129639936" }),
          422, "transaction_invalid" },
        { "a block beyond bigint", cjson.encode(engine.tx { blockNumber = "9223372036854775808" }), 422,
          "transaction_invalid" },
        { "a wrong checksum", cjson.encode(engine.tx { from = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAee" }), 422,
          "transaction_invalid" },
      }
      for _, case in ipairs(refused) do
        it("refuses " .. case[1], function()
          local status, body = e:post("/api/v1/predict", case[2])
          assert.equal(case[3], status)
          assert.equal(case[4], body.code)
          assert.equal(case[3], body.status)
        end)
      end

      it("refuses another media type and other methods", function()
        assert.equal(415, (e:post("/api/v1/predict/batch", "<x/>", { ["Content-Type"] = "text/xml" })))
        local status, _, headers = e:get("/api/v1/predict")
        assert.equal(405, status)
        assert.equal("POST, OPTIONS", headers.allow)
      end)

      it("asks for a key", function()
        local status, body, headers = e:call("POST", "/api/v1/predict", engine.tx(), { ["X-API-Key"] = false })
        assert.equal(401, status)
        assert.equal("unauthorized", body.code)
        assert.is_truthy(headers["www-authenticate"])
        assert.equal(401, (e:call("GET", "/api/v1/anomalies", nil, { ["X-API-Key"] = e.key:sub(1, -2) .. "x" })))
        assert.equal(200, (e:call("GET", "/api/v1/anomalies", nil,
          { ["X-API-Key"] = false, Authorization = "Bearer " .. e.key })))
      end)

      for _, case in ipairs {
        { "/api/v1/anomalies?cursor=zzz", "cursor" }, { "/api/v1/anomalies?limit=0", "limit" },
        { "/api/v1/anomalies?limit=x", "limit" }, { "/api/v1/anomalies?severity=huge", "severity" },
        { "/api/v1/anomalies?since=yesterday", "since" }, { "/api/v1/anomalies?address=0x12", "address" },
        { "/api/v1/anomalies?limit=1&limit=2", "limit" }, { "/api/v1/anomalies/abc", "id" },
        { "/api/v1/transactions/0xzz", "hash" }, { "/api/v1/transactions?direction=in", "direction" },
      } do
        it("names what is wrong in " .. case[1], function()
          local status, body = e:get(case[1])
          assert.equal(400, status)
          assert.is_truthy(body.detail:find(case[2], 1, true), body.detail)
        end)
      end
    end)
  end
end)
