package xids

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

const (
	fell  = "4,1,2,-;NVRM: Xid (PCI:0000:07:00): 79, pid=1234, name=python, GPU has fallen off the bus.\n"
	fault = "4,2,2,-;NVRM: Xid (PCI:0000:08:00): 31, Ch 00000010\n"
	other = "6,3,2,-;vetha: left promiscuous mode\n"
)

// rig is a Reader in a bubble of fake time, and what it counted.
type rig struct {
	*Reader
	t    *testing.T
	path string

	mu      sync.Mutex // of the test, against the Reader's goroutine
	counted []string
	gpus    map[gpu.PCIAddress]gpu.UUID
}

func newRig(t *testing.T, path string) *rig {
	r := &rig{t: t, path: path, gpus: map[gpu.PCIAddress]gpu.UUID{"0000:07:00.0": "GPU-7", "0000:08:00.0": "GPU-8"}}
	r.Reader = NewReader(ReaderConfig{Path: path, Find: r.find, Count: r.count})
	return r
}

func (r *rig) find(p Place) (gpu.UUID, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	uuid, ok := r.gpus[p.PCI]
	return uuid, ok
}

func (r *rig) count(uuid gpu.UUID, l Line, _ time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counted = append(r.counted, fmt.Sprintf("%s %d", uuid, l.Code))
}

// know sets the GPUs of the inventory.
func (r *rig) know(gpus map[gpu.PCIAddress]gpu.UUID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gpus = gpus
}

// run starts the Reader; it is ended with the test.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			r.t.Errorf("Run ended with %v", err)
		}
	}()
	r.t.Cleanup(func() {
		cancel()
		<-done
	})
	r.pass(0)
}

// pass lets time go by.
func (r *rig) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *rig) write(flag int, text string) {
	r.t.Helper()
	f, err := os.OpenFile(r.path, os.O_WRONLY|flag, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) add(text string) { r.t.Helper(); r.write(os.O_APPEND, text) }

// want compares what was counted since the last call.
func (r *rig) want(what string, want ...string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.counted, want) {
		r.t.Errorf("%s: counted %q, want %q", what, r.counted, want)
	}
	r.counted = nil
}

// state compares the state with a part of its reason; empty: all is well.
func (r *rig) wantState(part string) {
	r.t.Helper()
	ok, reason := r.State()
	if ok != (part == "") || !strings.Contains(reason, part) {
		r.t.Errorf("the state is %v %q, want %q", ok, reason, part)
	}
}

func logFile(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "kmsg")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAFileIsFollowed(t *testing.T) {
	path := logFile(t, fell)
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, path)
		r.wantState("not opened yet")
		r.run()
		r.wantState("")
		r.pass(time.Minute)
		r.want("what was logged before")
		r.add(fault + other + fell + fell)
		r.pass(time.Second)
		r.want("added lines, one of them twice", "GPU-8 31", "GPU-7 79", "GPU-7 79")
		r.add(fell[:40])
		r.pass(5 * time.Second)
		r.want("half a line")
		r.add(fell[40:])
		r.pass(time.Second)
		r.want("the other half", "GPU-7 79")
		r.add(strings.Repeat("x", 3*maxRecord) + "\n" + fault)
		r.pass(time.Second)
		r.want("a line after one without end", "GPU-8 31")
	})
}

func TestAFileIsCut(t *testing.T) {
	path := logFile(t, strings.Repeat(other, 10)+"half a")
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, path)
		r.run()
		r.write(os.O_TRUNC, fell)
		r.pass(2 * time.Second)
		r.want("a shorter file", "GPU-7 79")
		r.add(fault)
		r.pass(2 * time.Second)
		r.want("what comes then", "GPU-8 31")
	})
}

func TestAFileIsReplaced(t *testing.T) {
	path := logFile(t, other)
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, path)
		r.run()
		r.pass(500 * time.Millisecond) // between two looks
		r.add(fault)
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		r.pass(time.Second)
		r.wantState("is gone")
		r.write(os.O_CREATE, fell)
		r.pass(3 * time.Second)
		r.want("the end of the old file and all of the new one", "GPU-8 31", "GPU-7 79")
		r.wantState("")
	})
}

func TestAFileThatComesLate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kmsg")
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, path)
		r.run()
		r.wantState("there is no " + path)
		r.write(os.O_CREATE, fell)
		r.pass(29 * time.Second)
		r.want("before the next try")
		r.pass(time.Second)
		r.want("all of it was logged since the start", "GPU-7 79")
		r.wantState("")
	})
}

func TestWhyALogIsNotRead(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, path string
		open       func(string) (file, error)
		want       string
		unused     bool
	}{
		{name: "missing", path: filepath.Join(dir, "kmsg"), want: "there is no " + dir + "/kmsg"},
		{name: "not permitted", path: "/dev/kmsg", want: "the capability SYSLOG", open: func(path string) (file, error) {
			return nil, &os.PathError{Op: "open", Path: path, Err: syscall.EPERM}
		}},
		{name: "a folder", path: dir, want: "is a folder"},
		{name: "not wanted", want: "no kernel log is configured", unused: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, c.path)
				if c.open != nil {
					r.open = c.open
				}
				r.run()
				r.wantState(c.want)
				s := r.Source()
				if s.Name != "kmsg" || s.Unused != c.unused || !strings.Contains(s.Reason, c.want) || !s.Last.IsZero() {
					t.Errorf("the source is %+v", s)
				}
			})
		})
	}
}

// TestGPUsThatAreKnownLater: the log is read before the inventory is there.
func TestGPUsThatAreKnownLater(t *testing.T) {
	path := logFile(t, "")
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, path)
		known := r.gpus
		r.know(nil)
		r.run()
		r.add(fell + fault)
		r.pass(10 * time.Second)
		r.want("without an inventory")
		r.know(map[gpu.PCIAddress]gpu.UUID{"0000:07:00.0": "GPU-7"})
		r.pass(time.Second)
		r.want("one GPU is known", "GPU-7 79")
		r.pass(time.Minute)
		r.know(known)
		r.pass(10 * time.Second)
		r.want("a GPU that is known too late")
	})
}

func TestLinesWithoutGPUTakeNoMemory(t *testing.T) {
	path := logFile(t, "")
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, path)
		r.know(nil)
		r.run()
		r.add(strings.Repeat(fell, 3*maxWaiting))
		r.pass(2 * time.Second)
		if n := len(r.waiting); n != maxWaiting {
			t.Errorf("%d lines wait, want %d", n, maxWaiting)
		}
	})
}

func TestInSnapshot(t *testing.T) {
	feed := gpu.NewFeed[*gpu.Snapshot](nil)
	find := InSnapshot(feed)
	if _, ok := find(Place{PCI: "0000:07:00.0"}); ok {
		t.Error("a GPU was found before there is an inventory")
	}
	feed.Set(&gpu.Snapshot{GPUs: []gpu.GPU{{UUID: "GPU-a"}, {UUID: "GPU-b", PCI: "0000:07:00.0"}}})
	for _, c := range []struct {
		place Place
		want  gpu.UUID
	}{
		{Place{PCI: "0000:07:00.0"}, "GPU-b"},
		{Place{PCI: "0000:08:00.0"}, ""},
		{Place{UUID: "GPU-B"}, "GPU-b"},
		{Place{UUID: "GPU-c"}, ""},
	} {
		if got, ok := find(c.place); got != c.want || ok != (c.want != "") {
			t.Errorf("%+v is %q, want %q", c.place, got, c.want)
		}
	}
}

func TestALineWithoutEndTakesNoMemory(t *testing.T) {
	l := tail{regular: true}
	for range 100 {
		l.split([]byte(strings.Repeat("x", maxRecord/2)), func(s string) { t.Errorf("a line of %d bytes was handed over", len(s)) })
	}
	if n := cap(l.part); n > 2*maxRecord {
		t.Errorf("%d bytes are kept of a line without end", n)
	}
	var got []string
	l.split([]byte("the end of it\nshort\n"), func(s string) { got = append(got, s) })
	if !slices.Equal(got, []string{"short"}) {
		t.Errorf("the lines after it are %q", got)
	}
}

// One graphics exception has a line for each SM and register: it is one error, and the next one is another.
func TestLinesOfOneExceptionAreOneError(t *testing.T) {
	path := logFile(t, "")
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, path)
		r.run()
		line := func(what string) string {
			return "3,9,9,-;NVRM: Xid (PCI:0000:07:00): 13, pid=7, name=train, Graphics " + what + "\n"
		}
		r.add(line("SM Warp Exception on (GPC 7, TPC 7, SM 0): Illegal Instruction Parameter") + line("Exception: ESR 0x57c730=0xc04000b") + fault)
		r.pass(time.Second)
		r.want("the lines of one", "GPU-7 13", "GPU-8 31")
		r.pass(time.Second)
		r.add(line("Exception: ESR 0x57c730=0xc04000b"))
		r.pass(time.Second)
		r.want("and those of another", "GPU-7 13")
	})
}
