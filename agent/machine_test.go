package agent

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gpulet/gpulet/agent/config"
	"github.com/gpulet/gpulet/gpu/gpufake"
	"github.com/gpulet/gpulet/gpu/statefile"
	"github.com/gpulet/gpulet/test/fakekubelet"
)

// machine is a node with GPUs, a kubelet and a state folder, on which agents run.
type machine struct {
	t       testing.TB
	kubelet *fakekubelet.Kubelet
	state   string
	config  string // file
}

const header = "version: " + config.Version + "\ndeviceListStrategy: envvar\nhealth: {interval: 100ms}\n"

func newMachine(t testing.TB) *machine {
	t.Helper()
	k := fakekubelet.New(t, fakekubelet.Options{StatusPeriod: 100 * time.Millisecond})
	m := &machine{t: t, kubelet: k, state: t.TempDir(), config: filepath.Join(t.TempDir(), "gpulet.yaml")}
	m.configure(header)
	return m
}

func (m *machine) configure(text string) {
	m.t.Helper()
	if err := statefile.Replace(m.config, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// process is an agent that runs on a machine.
type process struct {
	machine *machine
	client  Client
	listen  string
	driver  *gpufake.Driver
	stop    func()
	done    chan struct{}
	err     error // once done is closed
}

// start runs an agent until the test ends or stop is called.
func (m *machine) start(version string, gpus ...*gpufake.GPU) *process {
	return m.startWith(version, nil, gpus...)
}

// startWith is start with flags of its own.
func (m *machine) startWith(version string, flags map[string]string, gpus ...*gpufake.GPU) *process {
	m.t.Helper()
	run, err := os.MkdirTemp("", "ga")
	if err != nil {
		m.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.t.Fatal(err)
	}
	p := &process{machine: m, client: Client{Socket: Socket(run)}, listen: l.Addr().String(), driver: gpufake.New(gpus...), done: make(chan struct{})}
	_ = l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = func() {
		cancel()
		<-p.done
	}
	all := map[string]string{
		"config": m.config, "state-dir": m.state, "run-dir": run, "kubelet-root": m.kubelet.Root(), "cdi-dir": filepath.Join(m.state, "cdi"),
		"listen": p.listen, "api-server": "off",
	}
	maps.Copy(all, flags)
	go func() {
		defer close(p.done)
		p.err = Run(ctx, Options{
			Version: version, Driver: p.driver, Log: slog.New(slog.NewTextHandler(testWriter{m.t, version}, nil)),
			Sources: config.Sources{Flags: all},
		})
	}()
	m.t.Cleanup(func() {
		p.stop()
		_ = os.RemoveAll(run)
	})
	return p
}

type testWriter struct {
	t    testing.TB
	name string
}

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s: %s", w.name, strings.TrimSpace(string(b)))
	return len(b), nil
}

// await waits until a status is as it should be.
func (p *process) await(what string, is func(Status) bool) (s Status) {
	p.machine.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	var err error
	for time.Now().Before(deadline) {
		if s, err = p.client.Status(context.Background()); err == nil && is(s) {
			return s
		}
		select {
		case <-p.done:
			p.machine.t.Fatalf("the agent ended: %v", p.err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	p.machine.t.Fatalf("never: %s; %v; it is %+v", what, err, s)
	return s
}

func ready(s Status) bool { return len(s.NotReady) == 0 && s.Waiting == nil }

func (m *machine) allocatable(resource string, n int64) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := m.kubelet.Wait(ctx, resource, func() bool { return m.kubelet.Allocatable(resource) == n }); err != nil {
		m.t.Fatalf("%v; it is %d", err, m.kubelet.Allocatable(resource))
	}
}
