--- Child processes of the specs: fractal.testing.process.

return require "fractal.testing.process"
