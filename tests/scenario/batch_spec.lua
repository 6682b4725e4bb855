--- Many transactions in one request: JSON and lines, as they should be and as they should not; each line has its own answer.

local engine = require "tests.support.engine"
local cjson = require "cjson"

local PATH = "/api/v1/predict/batch"
local LINES = { ["Content-Type"] = "application/x-ndjson" }

describe("batches", function()
  local e
  setup(function() e = engine.start {} end)
  teardown(function() e:stop() end)

  local function stored() return tonumber(e:sql("SELECT count(*) FROM transactions")) end

  for round = 1, 2 do
    it("refuse a body that is no list of transactions, and store nothing of it, round " .. round, function()
      local before = stored()
      local tx = cjson.encode(engine.tx())
      for _, case in ipairs {
        { '{"transactions":[' .. tx, 400 }, { "", 400 }, { "nonsense", 400 }, { '{"transactions":[' .. tx .. "]} x", 400 },
        { "[" .. tx .. "]", 422 }, { "{}", 422 }, { '{"transactions":{}}', 422 }, { '{"transactions":[]}', 422 },
        { '{"transactions":[' .. ("1,"):rep(1000) .. "1]}", 422 }, { '{"transactions":[' .. tx .. ",7]}", 422 },
        { '{"transactions":[' .. tx .. ",{}]}", 422 },
      } do
        local status, body = e:post(PATH, case[1])
        assert.equal(case[2], status, case[1]:sub(1, 60))
        assert.is_truthy(body.detail, case[1]:sub(1, 60))
        assert.is_truthy(body.request_id)
      end
      assert.equal(415, (e:post(PATH, '{"transactions":[' .. tx .. "]}", { ["Content-Type"] = "text/plain" })))
      assert.equal(before, stored())
    end)

    it("name each transaction that is wrong by its place, round " .. round, function()
      local status, body = e:post(PATH, { transactions = { engine.tx(), engine.tx { value = "-5" }, engine.tx { from = "x" } } })
      assert.equal(422, status)
      local places = {}
      for _, err in ipairs(body.errors) do places[#places + 1] = err.pointer end
      local text = table.concat(places, " ")
      assert.is_truthy(text:find("/transactions/1/value", 1, true), text)
      assert.is_truthy(text:find("/transactions/2/from", 1, true), text)
    end)

    it("answer line by line, good ones beside bad ones, round " .. round, function()
      local before = stored()
      local good, twin = engine.tx(), engine.tx()
      local lines = { cjson.encode(good), "nonsense", "", cjson.encode(engine.tx { value = "-5" }), "7", cjson.encode(twin),
        cjson.encode(twin), "   ", cjson.encode(engine.tx { hash = false }) }
      local status, body = e:post(PATH, table.concat(lines, "\r\n"), LINES)
      assert.equal(200, status)
      local answers = {}
      for line in body:gmatch("[^\n]+") do answers[#answers + 1] = cjson.decode(line) end
      local verdicts, problems = 0, 0
      for _, a in ipairs(answers) do
        if a.status then
          problems = problems + 1
          assert.is_true(a.status == 400 or a.status == 422, a.detail)
        else
          verdicts = verdicts + 1
        end
      end
      assert.equal(3, verdicts)
      assert.equal(4, problems)
      assert.equal(before + 2, stored())
      status, body = e:post(PATH, "", LINES)
      assert.equal(200, status)
      assert.equal("", body)
    end)

    it("end with a line that never ends, round " .. round, function()
      local before = stored()
      local status, body = e:post(PATH, cjson.encode(engine.tx()) .. "\n" .. ("x"):rep(5 * 1024 * 1024), LINES)
      assert.equal(200, status)
      local last
      for line in body:gmatch("[^\n]+") do last = cjson.decode(line) end
      assert.equal(413, last.status)
      assert.equal("line_too_long", last.code)
      assert.equal(before + 1, stored())
    end)
  end
end)
