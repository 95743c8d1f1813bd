package main

import (
	"errors"
	"fmt"

	"github.com/gpulet/gpulet/agent"
	"github.com/gpulet/gpulet/agent/config"
	"github.com/gpulet/gpulet/gpu"
)

// The exit codes.
const (
	exitOK         = 0
	exitFailure    = 1
	exitUsage      = 2
	exitNotRunning = 3
	exitStale      = 4
)

// exitCodes is what the help says of them.
const exitCodes = `Exit codes: 0 all went well; 1 it failed, or doctor found something that fails; 2 the command line or the configuration is wrong;
3 no agent answers on the admin socket; 4 the GPU driver was replaced, and the agent has to be started anew to load its library.`

// usageError is a mistake on the command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitCode turns what a command returned into the code of the process.
func exitCode(err error) int {
	var u usageError
	var p config.ProblemsError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &u), errors.As(err, &p):
		return exitUsage
	case errors.Is(err, agent.ErrNotRunning):
		return exitNotRunning
	case errors.Is(err, gpu.ErrLibraryStale):
		return exitStale
	}
	return exitFailure
}
