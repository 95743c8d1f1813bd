// Package godcgm holds the simulated libdcgm.so.4 against NVIDIA's own Go binding: each test talks to a child process that has the
// binding and the library loaded, since a function that is missing ends the process. It never looks inside the engine.
package godcgm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/NVIDIA/go-dcgm/pkg/dcgm"
	"go.uber.org/goleak"

	"github.com/gpulet/gpulet/test/gpusim/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const childEnv = "GPUSIM_DCGM_CHILD"

// request is one call of the child. Only the members that the call takes are set.
type request struct {
	Call     string
	Args     []string
	Group    int // index among the groups that were made, -1: all GPUs
	Fields   []dcgm.Short
	Entities []dcgm.GroupEntityPair
	Period   time.Duration
	Number   uint
	Kind     dcgm.Field_Entity_Group
	Since    time.Time
}

// reply is its answer.
type reply struct {
	Error   string
	Code    int // of a *dcgm.Error
	IDs     []uint
	Text    string
	Number  float64
	Values  []value
	MIG     []dcgm.MigHierarchyInfo_v2
	Next    time.Time
	Meta    dcgm.FieldMeta
	Health  dcgm.HealthResponse
	Device  dcgm.Device
	Metrics []dcgm.MetricGroup
}

// value is a sample without its 4096 bytes.
type value struct {
	Group  dcgm.Field_Entity_Group
	ID     uint
	Field  dcgm.Short
	Type   uint
	Status int
	TS     int64
	Int    int64
	Float  float64
	Text   string
}

func valueOf(v dcgm.FieldValue_v2) value {
	out := value{Group: v.EntityGroupId, ID: v.EntityID, Field: v.FieldID, Type: v.FieldType, Status: v.Status, TS: v.TS}
	switch byte(v.FieldType) {
	case 'd':
		out.Float = v.Float64()
	case 's':
		out.Text = *v.StringValue
	default:
		out.Int = v.Int64()
	}
	return out
}

// TestChild serves the requests on its standard input.
func TestChild(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		t.Skip("it is the other tests' child")
	}
	c := &child{}
	in := json.NewDecoder(os.Stdin)
	for {
		var r request
		if err := in.Decode(&r); err != nil {
			os.Exit(0) // nothing of the binding is torn down: the tests look at what a process that dies leaves
		}
		var a reply
		err := c.do(r, &a)
		if err != nil {
			a.Error = err.Error()
			var e *dcgm.Error
			if errors.As(err, &e) {
				a.Code = int(e.Code)
			}
		}
		line, _ := json.Marshal(a)
		fmt.Printf("\nreply %s\n", line)
	}
}

// program is a child seen from the test.
type program struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
	err *strings.Builder
}

func newProgram(t *testing.T, n *sim.Node, variant string) *program {
	t.Helper()
	dir, err := n.DCGMLibrary(t.Context(), variant)
	if err != nil {
		t.Fatal(err)
	}
	// Not the test's context: a child is killed by its own cleanup, before the node stops.
	p := &program{t: t, cmd: exec.CommandContext(context.Background(), os.Args[0], "-test.run=^TestChild$"), err: &strings.Builder{}}
	p.cmd.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "GPUSIM_SOCKET=") }),
		childEnv+"=1", "LD_LIBRARY_PATH="+dir, "GORACE=atexit_sleep_ms=0")
	p.cmd.Stderr = p.err
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewScanner(out)
	p.out.Buffer(nil, 64<<20)
	t.Cleanup(p.end)
	return p
}

func (p *program) end() {
	_ = p.in.Close()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// try makes a call; ok is false when the process died in it.
func (p *program) try(r request) (a reply, ok bool) {
	p.t.Helper()
	if err := json.NewEncoder(p.in).Encode(r); err != nil {
		return a, false
	}
	for p.out.Scan() {
		if line, found := strings.CutPrefix(p.out.Text(), "reply "); found {
			if err := json.Unmarshal([]byte(line), &a); err != nil {
				p.t.Fatal(err)
			}
			return a, true
		}
	}
	return a, false
}

// do makes a call that must succeed.
func (p *program) do(r request) reply {
	p.t.Helper()
	a, ok := p.try(r)
	if !ok || a.Error != "" {
		p.t.Fatalf("%s: alive %v, %s (%d) %s", r.Call, ok, a.Error, a.Code, p.err)
	}
	return a
}

func embedded(t *testing.T, o sim.Options) (*sim.Node, *program) {
	t.Helper()
	n := sim.New(t, o)
	p := newProgram(t, n, "")
	p.do(request{Call: "embedded"})
	return n, p
}
