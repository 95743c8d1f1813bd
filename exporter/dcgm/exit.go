package dcgm

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"

	"github.com/gpulet/gpulet/gpu"
)

// exit is how a worker ended.
type exit struct {
	state *os.ProcessState
	// said are its last lines on stderr.
	said []string
}

// exitSymbol is the code of a process that called a function which its library does not have.
const exitSymbol = 127

// why explains it for people. library is the version of libdcgm, where it is known.
func (e exit) why(library string) gpu.Absence {
	said := strings.Join(e.said, "\n")
	if e.state == nil {
		return gpu.Absence{Code: gpu.Failed, Text: "DCGM's worker ended"}
	}
	if m := regexp.MustCompile(`undefined symbol: (\w+)`).FindStringSubmatch(said); m != nil {
		return gpu.Absence{Code: gpu.NoFunction, Text: fmt.Sprintf("%s lacks %s", named(library), m[1])}
	}
	if e.state.ExitCode() == exitSymbol {
		return gpu.Absence{Code: gpu.NoFunction, Text: named(library) + " lacks a function that was called"}
	}
	last := ""
	if n := len(e.said); n > 0 {
		last = ": " + e.said[n-1]
	}
	if s, ok := e.state.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		if s.Signal() == syscall.SIGKILL {
			return gpu.Absence{Code: gpu.Failed, Text: "DCGM's worker was killed from outside, perhaps because memory ran out"}
		}
		return gpu.Absence{Code: gpu.Failed, Text: fmt.Sprintf("DCGM's worker crashed (%s)%s", s.Signal(), last)}
	}
	if len(e.said) > 0 && tellsCrash(e.said[0]) {
		return gpu.Absence{Code: gpu.Failed, Text: "DCGM's worker crashed: " + e.said[0]}
	}
	return gpu.Absence{Code: gpu.Failed, Text: fmt.Sprintf("DCGM's worker ended with code %d%s", e.state.ExitCode(), last)}
}

// tellsCrash: the line says why a process ends. Go reports a signal in C code itself, and goes on with pages of stacks.
func tellsCrash(line string) bool {
	return strings.HasPrefix(line, "fatal error: ") || strings.HasPrefix(line, "SIG") || strings.HasPrefix(line, "panic: ") ||
		strings.Contains(line, "symbol lookup error")
}

func named(library string) string {
	if library == "" {
		return "this libdcgm"
	}
	return "libdcgm " + library
}
