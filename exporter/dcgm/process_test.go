package dcgm

import (
	"bufio"
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gpulet/gpulet/gpu"
)

// actEnv makes this test binary a worker that misbehaves as it says.
const actEnv = "GPULET_TEST_DCGM_WORKER"

func TestMain(m *testing.M) {
	if act := os.Getenv(actEnv); act != "" {
		os.Exit(play(act))
	}
	goleak.VerifyTestMain(m)
}

// play is the worker's process.
func play(act string) int {
	ctx := context.Background()
	lib := newFakeLibrary(0)
	switch act {
	case "work":
		if err := Work(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "gpulet:", err)
			return 1
		}
		return 0
	case "fake":
	case "symbol":
		fmt.Fprintln(os.Stderr, "/usr/bin/gpulet: symbol lookup error: /usr/bin/gpulet: undefined symbol: dcgmConnect_v3")
		return exitSymbol
	case "crash":
		time.AfterFunc(300*time.Millisecond, func() { _ = syscall.Kill(os.Getpid(), syscall.SIGSEGV) })
	case "hang":
		lib.hang = make(chan struct{})
	case "leak":
		var kept [][]byte
		go func() {
			for {
				b := make([]byte, 16<<20)
				for i := 0; i < len(b); i += 4096 {
					b[i] = 1
				}
				kept = append(kept, b)
				time.Sleep(20 * time.Millisecond)
			}
		}()
	case "garbage":
		time.AfterFunc(300*time.Millisecond, func() { fmt.Println("DCGM: a word on stdout, where none belongs") })
	case "slow":
		time.Sleep(700 * time.Millisecond)
	case "chatty":
		go func() {
			for i := range 10_000 {
				fmt.Fprintln(os.Stderr, "line", i, strings.Repeat("x", 1000))
			}
		}()
	case "deaf": // to the end of its input
		_ = serve(ctx, os.Stdin, os.Stdout, &engine{lib: lib}, time.Now)
		select {}
	case "parent": // an agent that is killed
		c := New(Config{Fast: 50 * time.Millisecond, Command: worker("deaf")})
		c.Want([]gpu.Field{155})
		go func() { _ = c.Run(ctx) }()
		for {
			b, changed := c.Batches().Get()
			if b.State.Up {
				fmt.Println(b.State.PID)
			}
			<-changed
		}
	}
	if err := serve(ctx, os.Stdin, os.Stdout, &engine{lib: lib}, time.Now); err != nil {
		return 1
	}
	return 0
}

func worker(act string, env ...string) []string {
	return append(append([]string{"env", actEnv + "=" + act}, env...), os.Args[0])
}

// running runs a Client with a worker that plays act until the test ends.
func running(t *testing.T, cfg Config) *Client {
	t.Helper()
	if cfg.Fast == 0 {
		cfg.Fast = 100 * time.Millisecond
	}
	c := New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	c.Want([]gpu.Field{155})
	return c
}

// Whatever a worker does, the agent says why there are no values, goes on, and starts it anew.
func TestWorkersThatFail(t *testing.T) {
	for _, c := range []struct {
		act       string
		code      gpu.AbsenceCode
		why       string
		firstIsUp bool
		mib       uint64
	}{
		{act: "crash", code: gpu.Failed, why: "crashed", firstIsUp: true},
		{act: "garbage", code: gpu.Failed, why: "no answer", firstIsUp: true},
		{act: "hang", code: gpu.NoAnswer, why: "did not answer within"},
		{act: "leak", code: gpu.Failed, why: "more than its 300 MiB", firstIsUp: true, mib: 300},
		{act: "symbol", code: gpu.NoFunction, why: "libdcgm lacks dcgmConnect_v3"},
	} {
		t.Run(c.act, func(t *testing.T) {
			t.Parallel()
			client := running(t, Config{
				Memory: c.mib << 20, Command: worker(c.act),
				AnswerTimeout: time.Second, StartTimeout: 3 * time.Second,
			})
			if c.firstIsUp {
				within(t, client, 20*time.Second, "up", up)
			}
			within(t, client, 20*time.Second, "down", down(c.code, c.why))
			within(t, client, 20*time.Second, "started anew", func(b *Batch) bool { return b.State.Restarts > 0 })
		})
	}
}

func TestSlowStart(t *testing.T) {
	t.Parallel()
	c := running(t, Config{Command: worker("slow")})
	if got, took := within(t, c, 20*time.Second, "up", up); took < 700*time.Millisecond || got.State.Restarts != 0 || got.Readings[0].Value != 155 {
		t.Errorf("after %s: %+v", took, got)
	}
}

func TestNoProgram(t *testing.T) {
	t.Parallel()
	c := running(t, Config{Command: []string{"/no/such/program"}})
	within(t, c, 10*time.Second, "down", down(gpu.NoSource, "no such file"))
}

// Without libdcgm the loader's own words are the reason.
func TestNoLibrary(t *testing.T) {
	t.Parallel()
	c := running(t, Config{Command: worker("work"), Library: "/no/such/libdcgm.so.4"})
	within(t, c, 20*time.Second, "down", down(gpu.NoSource, "/no/such/libdcgm.so.4: cannot open shared object file"))
}

// A library that is not DCGM's is refused before one of its functions is called.
func TestForeignLibrary(t *testing.T) {
	t.Parallel()
	c := running(t, Config{Command: worker("work"), Library: "libm.so.6"})
	within(t, c, 20*time.Second, "down", down(gpu.NoFunction, "libm.so.6 lacks"))
}

// The worker dies with an agent that is killed, even when it does not look at its input.
func TestDeathOfTheAgent(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "env", worker("parent")[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the agent did not start its worker")
	}
	pid, err := strconv.Atoi(lines.Text())
	if err != nil || syscall.Kill(pid, 0) != nil {
		t.Fatalf("worker %q: %v", lines.Text(), err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if gone(pid) {
			return
		}
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the worker lives on")
		}
	}
}

// gone: it has ended; where nobody waits for orphans it stays as a zombie.
func gone(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || bytes.Contains(stat, []byte(") Z "))
}

// A worker that does not end by itself is ended.
func TestDeafWorker(t *testing.T) {
	t.Parallel()
	c := running(t, Config{Command: worker("deaf")})
	got, _ := within(t, c, 20*time.Second, "up", up)
	release, err := c.Quiesce(t.Context(), "GPU-0")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if !gone(got.State.PID) {
		t.Error("the worker lives on")
	}
}

// logged counts lines.
type logged struct {
	mu    sync.Mutex // guards lines
	lines []string
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(b))
	return len(b), nil
}

func TestChattyWorker(t *testing.T) {
	t.Parallel()
	var l logged
	c := running(t, Config{Command: worker("chatty"), Log: slog.New(slog.NewTextHandler(&l, nil))})
	first, _ := within(t, c, 20*time.Second, "up", up)
	within(t, c, 20*time.Second, "up for a while", func(b *Batch) bool { return b.State.Up && b.At.Sub(first.At) > time.Second })
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.lines); n == 0 || n > 2*logLines {
		t.Errorf("%d lines logged", n)
	}
	for _, line := range l.lines {
		if len(line) > 2*lineBytes {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
}

func TestPrivateMemory(t *testing.T) {
	got, err := privateMemory(os.Getpid())
	if err != nil || got < 1<<20 || got > 1<<33 {
		t.Errorf("%d, %v", got, err)
	}
}

// The library's functions are bound when they are called: the agent has to start where there is none.
func TestLazyBinding(t *testing.T) {
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for tag, bit := range map[elf.DynTag]elf.DynFlag{elf.DT_FLAGS: elf.DF_BIND_NOW, elf.DT_FLAGS_1: elf.DynFlag(elf.DF_1_NOW)} {
		values, err := f.DynValue(tag)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if v&uint64(bit) != 0 {
				t.Errorf("%v has %v", tag, bit)
			}
		}
	}
	if now, err := f.DynValue(elf.DT_BIND_NOW); err != nil || len(now) != 0 {
		t.Errorf("bound at the start: %v %v", now, err)
	}
}
