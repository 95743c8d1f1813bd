package conformance

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	nv "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// TestChildShell makes the calls that its input names, each in a goroutine of its own: "ID CALL ARGUMENTS" gives "ID CODE VALUE".
func TestChildShell(t *testing.T) {
	lib := nv.New(nv.WithLibraryPath(ofChild(t)))
	var mu sync.Mutex
	var set nv.EventSet
	sample := map[int]nv.GpmSample{}
	call := func(name string, n int) (any, nv.Return) {
		mu.Lock()
		held, first, second := set, sample[0], sample[1]
		mu.Unlock()
		d := func() nv.Device {
			d, ret := lib.DeviceGetHandleByIndex(n)
			if ret != nv.SUCCESS {
				return nil
			}
			return d
		}
		switch name {
		case "init":
			return nil, lib.Init()
		case "shutdown":
			return nil, lib.Shutdown()
		case "count":
			return pack(lib.DeviceGetCount())
		case "lookup":
			_, ret := lib.DeviceGetHandleByIndex(n)
			return nil, ret
		case "uuid":
			return pack(d().GetUUID())
		case "mig":
			m, ret := d().GetMigDeviceHandleByIndex(0)
			if ret != nv.SUCCESS {
				return nil, ret
			}
			return pack(m.GetUUID())
		case "mode":
			return pack(d().SetMigMode(n))
		case "watch":
			s, ret := lib.EventSetCreate()
			if ret != nv.SUCCESS {
				return nil, ret
			}
			mu.Lock()
			set = s
			mu.Unlock()
			return nil, d().RegisterEvents(nv.EventTypeXidCriticalError, s)
		case "wait":
			e, ret := held.Wait(uint32(n))
			return e.EventData, ret
		case "sample": // 0 and 1 of GPU 0
			s, ret := lib.GpmSampleAlloc()
			if ret != nv.SUCCESS {
				return nil, ret
			}
			mu.Lock()
			sample[n] = s
			mu.Unlock()
			g, ret := lib.DeviceGetHandleByIndex(0)
			if ret != nv.SUCCESS {
				return nil, ret
			}
			return nil, g.GpmSampleGet(s)
		case "metrics":
			m := nv.GpmMetricsGetType{NumMetrics: 2, Sample1: first, Sample2: second}
			m.Metrics[0].MetricId, m.Metrics[1].MetricId = uint32(nv.GPM_METRIC_SM_UTIL), 20
			ret := lib.GpmMetricsGet(&m)
			return fmt.Sprintf("%.0f%s %s %s", m.Metrics[0].Value, text(m.Metrics[0].MetricInfo.Unit), text(m.Metrics[0].MetricInfo.ShortName), text(m.Metrics[1].MetricInfo.Unit)), ret
		}
		return nil, nv.ERROR_UNKNOWN
	}
	var group sync.WaitGroup
	fmt.Println("\nshell ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		parts := strings.Fields(lines.Text() + " 0")
		n, _ := strconv.Atoi(parts[2])
		group.Go(func() {
			v, ret := call(parts[1], n)
			mu.Lock()
			defer mu.Unlock()
			fmt.Printf("shell %s %d %v\n", parts[0], ret, v)
		})
	}
	group.Wait()
}

func pack[T any](v T, ret nv.Return) (any, nv.Return) { return v, ret }

// shell is a process with the library.
type shell struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	mu  sync.Mutex
	id  int
	out map[string]chan string // guarded by mu
}

func newShell(t *testing.T, n *sim.Node) *shell {
	t.Helper()
	s := &shell{cmd: exec.Command(os.Args[0], "-test.run=^TestChildShell$"), out: map[string]chan string{}}
	s.cmd.Env = append(os.Environ(), libraryEnv+"="+n.Library(), "GORACE=atexit_sleep_ms=0")
	s.cmd.Stderr = os.Stderr
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "shell ready" {
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines.Scan() {
			if rest, ok := strings.CutPrefix(lines.Text(), "shell "); ok {
				id, answer, _ := strings.Cut(rest, " ")
				s.mu.Lock()
				s.out[id] <- answer
				s.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		_ = s.in.Close()
		_ = s.cmd.Process.Kill()
		<-done
		_ = s.cmd.Wait()
	})
	return s
}

// start begins a call.
func (s *shell) start(t *testing.T, call string) <-chan string {
	t.Helper()
	s.mu.Lock()
	s.id++
	id, c := strconv.Itoa(s.id), make(chan string, 1)
	s.out[id] = c
	s.mu.Unlock()
	if _, err := io.WriteString(s.in, id+" "+call+"\n"); err != nil {
		t.Fatal(err)
	}
	return c
}

// is makes a call and wants that answer: the code and, if it says more, the value.
func (s *shell) is(t *testing.T, call, want string) {
	t.Helper()
	ended(t, s.start(t, call), call, want)
}

func ended(t *testing.T, c <-chan string, call, want string) {
	t.Helper()
	select {
	case got := <-c:
		if got != want && !strings.HasPrefix(got, want+" ") {
			t.Errorf("%s gives %q, want %q", call, got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("%s blocks", call)
	}
}
