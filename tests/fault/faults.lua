--- The whole table of faults, one after another; a line for each: acknowledged, stored, doubled, lost, milliseconds until
--- writes went on, longest silence, answers by code. `make faults`; FAULT=pattern runs some, MARKDOWN=1 writes docs' table.
package.path = "./?.lua;" .. package.path
local faults = require "tests.support.faults"
local ledger = require "tests.support.ledger"

local only, markdown = os.getenv("FAULT"), os.getenv("MARKDOWN")
local failed, ran = 0, 0
local line = markdown and "| %s | %s | %s | %s | %s | %s | %s | %s |" or "%-62s %6s %6s %4s %4s %7s %7s  %s"
print(line:format("fault", "acked", "stored", "dbl", "lost", "resume", "silence", "answers"))
if markdown then print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |") end
io.stdout:setvbuf("line")
for _, row in ipairs(faults.rows) do
  if not only or row.name:find(only) then
    local why = row.skip and row.skip()
    if why then
      print(line:format(row.name, "-", "-", "-", "-", "-", "-", "skipped: " .. why))
    else
      local r = faults.run(row)
      ran = ran + 1
      print(line:format(row.name, r.acknowledged or "?", r.stored or "?", r.doubled or "?", r.lost or "?",
        r.resume_ms or "?", r.gap_ms or "?", ledger.codes(r)))
      if #r.problems > 0 then
        failed = failed + 1
        for _, problem in ipairs(r.problems) do print("    " .. problem) end
      end
    end
  end
end
print(("%d faults, %d failed"):format(ran, failed))
os.exit(failed == 0 and ran > 0 and 0 or 1)
