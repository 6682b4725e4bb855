--- db.transaction() in scripts: all or nothing, savepoints, done again after a conflict, given up when the client goes.

local engine = require "tests.support.engine"

local SCRIPT = [[
local BODY = { fields = { name = { type = "string", required = true }, how = { type = "string" } } }

local function create(name)
  return db.models:create { name = name, model_type = "test" }
end

local HOW = {
  commit = function(name)
    return db.transaction(function()
      local a = create(name)
      local b = create(name .. ".b")
      assert(db.models:update { id = a.id, description = "of " .. b.id })
      return a.id, b.id
    end)
  end,
  nothing = function(name) return db.transaction(function() create(name) end) end,
  refuse = function(name)
    return db.transaction(function()
      create(name)
      return nil, { status = 409, code = "conflict", message = "not this one" }
    end)
  end,
  raise = function(name) return db.transaction(function() create(name) error("thrown away", 0) end) end,
  failed = function(name)
    return db.transaction(function()
      create(name)
      local row, err = create(name)
      assert(not row and err.code == "conflict", "a second one of that name")
      local again, why = db.models:list {}
      assert(not again and why.message:find("can only be rolled back", 1, true), "nothing goes on after that")
      return "done"
    end)
  end,
  savepoint = function(name)
    return db.transaction(function()
      create(name)
      local ok, err = db.transaction(function()
        create(name .. ".lost")
        return create(name)
      end)
      assert(not ok and err.code == "conflict", "the inner one failed")
      assert(db.transaction(function() create(name .. ".kept") end))
      local caught = pcall(db.transaction, function() create(name .. ".raised") error("inner") end)
      assert(not caught)
      return db.models:get { id = db.models:list { name = name }.items[1].id }.name
    end)
  end,
  read_only = function(name)
    return db.transaction({ read_only = true, isolation = "repeatable read" }, function() return create(name) end)
  end,
  again = function(name)
    return db.transaction({ isolation = "serializable" }, function() return create(name) end)
  end,
  once = function(name) return db.transaction({ retries = 0 }, function() return create(name) end) end,
  late = function(name) return db.transaction({ timeout_ms = 100 }, function() return create(name) end) end,
  endless = function(name) return db.transaction(function() create(name) while true do end end) end,
  option = function() return db.transaction({ isolatoin = "serializable" }, function() end) end,
  level = function() return db.transaction({ isolation = "chaos" }, function() end) end,
  nested_option = function()
    return db.transaction(function() return db.transaction({ retries = 1 }, function() end) end)
  end,
  plain = function() return db.transaction("x") end,
}

endpoint {
  method = "POST", path = "/api/v1/test/transaction", auth = "admin", summary = "test", body = BODY, timeout_ms = 4000,
  responses = { ["200"] = "ok" },
  handler = function(req)
    local r = { pcall(HOW[req.data.how], req.data.name) }
    if not r[1] then return problem(500, "raised", tostring(r[2])) end
    if r[2] == nil then return problem(r[3]) end
    return reply(200, { first = r[2], second = r[3] })
  end,
}
]]

describe("db.transaction", function()
  local e, scripts

  setup(function()
    scripts = engine.tmpdir()
    os.execute("cp -r scripts/. " .. scripts)
    engine.write(scripts .. "/api/test_transaction.lua", SCRIPT)
    e = engine.start { sets = { "scripts.dir=" .. scripts } }
    e:sql [[
      CREATE SEQUENCE test_calls;
      CREATE FUNCTION test_trouble() RETURNS trigger LANGUAGE plpgsql AS '
      BEGIN
        IF NEW.name LIKE ''conflict%'' AND nextval(''test_calls'') <= 2 THEN
          RAISE EXCEPTION ''meant to fail'' USING ERRCODE = CASE WHEN NEW.name LIKE ''%dead'' THEN ''40P01'' ELSE ''40001'' END;
        END IF;
        IF NEW.name LIKE ''gone%'' AND nextval(''test_calls'') <= 1 THEN
          PERFORM pg_terminate_backend(pg_backend_pid());
        END IF;
        IF NEW.name LIKE ''slow%'' THEN PERFORM pg_sleep(20); END IF;
        RETURN NEW;
      END';
      CREATE TRIGGER test_trouble BEFORE INSERT ON models FOR EACH ROW EXECUTE FUNCTION test_trouble()]]
  end)
  teardown(function()
    e:stop { "handler failed", "gave no answer" }
    os.execute("rm -rf " .. scripts)
  end)

  local function try(how, name) return e:post("/api/v1/test/transaction", { how = how, name = name }) end
  local function count(name) return tonumber(e:sql("SELECT count(*) FROM models WHERE name LIKE '" .. name .. "%'")) end

  for round = 1, 2 do
    describe("round " .. round, function()
      local function name(text) return text .. "." .. round end

      it("commits and returns what the function returned", function()
        local status, answer = try("commit", name "whole")
        assert.equal(200, status)
        assert.equal("of " .. answer.second, e:sql("SELECT description FROM models WHERE id = " .. answer.first))
        assert.is_true(select(2, try("nothing", name "empty")).first)
        assert.equal(1, count(name "empty"))
      end)

      it("rolls back when the function returns nil and an error, and when it raises", function()
        local status, answer = try("refuse", name "refused")
        assert.equal(409, status)
        assert.equal("not this one", answer.detail)
        status, answer = try("raise", name "raised")
        assert.equal(500, status)
        assert.equal("thrown away", answer.detail)
        assert.equal(0, count(name "refused") + count(name "raised"))
      end)

      it("does not commit what has failed, whatever the function says", function()
        local status, answer = try("failed", name "failed")
        assert.equal(409, status)
        assert.is_truthy(answer.detail:find("duplicate key", 1, true))
        assert.equal(0, count(name "failed"))
      end)

      it("takes one inside another for a savepoint", function()
        local status, answer = try("savepoint", name "outer")
        assert.equal(200, status)
        assert.equal(name "outer", answer.first)
        assert.equal("2", e:sql("SELECT count(*) FROM models WHERE name IN ('" .. name "outer" .. "', '"
          .. name "outer" .. ".kept')"))
        assert.equal(2, count(name "outer"))
      end)

      it("is done again after a conflict, a deadlock and a lost connection", function()
        for _, prefix in ipairs { "conflict", "conflict.dead", "gone" } do
          e:sql "ALTER SEQUENCE test_calls RESTART"
          local whole = prefix == "conflict.dead" and "conflict." .. round .. ".dead" or name(prefix)
          local status, answer = try("again", whole)
          assert.equal(200, status, answer.detail)
          assert.equal(whole, answer.first.name)
          e:sql "ALTER SEQUENCE test_calls RESTART"
          status = try("once", whole .. ".once")
          assert.equal(503, status)
          assert.equal(0, count(whole .. ".once"))
        end
      end)

      it("refuses to write when it is to read only", function()
        local status, answer = try("read_only", name "read")
        assert.equal(503, status)
        assert.equal("cannot execute INSERT in a read-only transaction", answer.detail)
      end)

      it("is rolled back when its time is over, and when that of the request is", function()
        local status, answer = try("late", name "slow")
        assert.equal(503, status)
        assert.equal("the transaction took longer than its 100 ms", answer.detail)
        status = try("nothing", name "slow")
        assert.equal(503, status)
        engine.wait("the statement to be cancelled", 5, function()
          return e:sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%INSERT INTO models%'"
            .. " AND state <> 'idle' AND pid <> pg_backend_pid()") == "0"
        end)
        assert.equal(0, count(name "slow"))
      end)

      it("does not keep a connection of a handler that was stopped", function()
        assert.equal(500, (try("endless", name "endless")))
        assert.equal(0, count(name "endless"))
        engine.wait("no transaction to be open", 5, function()
          return e:sql "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'" == "0"
        end)
      end)

      it("says what is wrong with its options", function()
        local function detail(how) return select(2, try(how, "x")).detail end
        assert.is_truthy(detail("option"):find('unknown option "isolatoin", did you mean "isolation"?', 1, true))
        assert.is_truthy(detail("level"):find('isolation must be "read committed"', 1, true))
        assert.is_truthy(detail("nested_option"):find("is a savepoint and takes no options", 1, true))
        assert.is_truthy(detail("plain"):find("takes a function", 1, true))
      end)
    end)
  end

  it("is counted by its end", function()
    local _, text = e:get "/metrics"
    assert.is_truthy(text:find('chainwatch_db_transactions_total{result="committed"}', 1, true))
    assert.is_truthy(text:find('chainwatch_db_transactions_total{result="conflict"}', 1, true))
  end)
end)
