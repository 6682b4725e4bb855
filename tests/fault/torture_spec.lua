-- Allocations, system calls and libpq calls that fail once: some of them, other ones in each run. `make torture` does all.
-- A run that found something says how to repeat it.
local torture = require "tests.torture.torture"

local EVERY = tonumber(os.getenv("TORTURE_EVERY") or nil) or 149
local OFFSET = tonumber(os.getenv("TORTURE_OFFSET") or nil) or os.time() % EVERY

-- What a phase costs a place, beside one of a request.
local SPARSER = { start = 4, stop = 2, verbs = 2 }

describe("each place that can fail, one in " .. EVERY .. " from " .. OFFSET, function()
  local run
  setup(function() run = torture.new { inject = (os.getenv("BUILD") or "build") .. "/inject.so", some_verbs = 5 } end)
  teardown(function() run:close() end)

  for _, phase in ipairs { "requests", "evaluator", "work", "tls", "verbs", "stop", "start" } do
    it(phase .. " goes on", function()
      run.every, run.offset, run.wrong = EVERY * (SPARSER[phase] or 1), OFFSET, {}
      torture.phases[phase](run)
      assert(#run.wrong == 0, table.concat(run.wrong, "\n") .. string.format(
        "\nagain: luajit tests/torture/torture.lua --phases %s --every %d --offset %d", phase, run.every, OFFSET))
    end)
  end
end)
