--- The faults of the table that take little time, each under load by clients with a ledger: what was acknowledged is there
--- exactly once, writes go on by themselves within 15 s, and nothing but 503 and 507 is said meanwhile. All of them: `make faults`.

local faults = require "tests.support.faults"

describe("under faults", function()
  local session
  teardown(function() if session then faults.close(session) end end)

  for _, row in ipairs(faults.rows) do
    if row.quick then
      it(row.name, function()
        local why = row.skip and row.skip()
        if why then
          print("skipped: " .. row.name .. ": " .. why)
          return
        end
        if faults.shareable(row) and not session then session = faults.session() end
        local r = faults.run(row, faults.shareable(row) and session or nil)
        assert.same({}, r.problems)
      end)
    end
  end
end)
