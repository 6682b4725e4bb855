--- Work that has room for one or two at a time (backtests, explanations, trials of rules): whoever comes too soon has
--- asked too often, the server is well. Pure.

--- The answer for an error of engine.call: 429 where a place was taken, else what the error says.
return function(err)
  if err.code == "busy" then return problem(429, "busy", err.message, { retry_after = 1 }) end
  return problem(err)
end
