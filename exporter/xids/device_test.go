package xids

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// device behaves as /dev/kmsg does: a record a read, which waits while there is none until the file is closed.
type device struct {
	answers chan any // a record or an error
	closed  chan struct{}
	reads   int
	sought  bool
}

func newDevice() *device {
	return &device{answers: make(chan any, 100), closed: make(chan struct{})}
}

func (d *device) Read(b []byte) (int, error) {
	d.reads++
	select {
	case a := <-d.answers:
		if err, ok := a.(error); ok {
			return 0, &fs.PathError{Op: "read", Path: "/dev/kmsg", Err: err}
		}
		return copy(b, a.(string)), nil
	case <-d.closed:
		return 0, os.ErrClosed
	}
}

func (d *device) Seek(_ int64, whence int) (int64, error) {
	d.sought = whence == 2
	return 0, nil
}

func (d *device) Stat() (fs.FileInfo, error)      { return charDevice{}, nil }
func (d *device) SetReadDeadline(time.Time) error { return nil }

func (d *device) Close() error {
	select {
	case <-d.closed:
	default:
		close(d.closed)
	}
	return nil
}

type charDevice struct{ fs.FileInfo }

func (charDevice) Mode() fs.FileMode { return fs.ModeDevice | fs.ModeCharDevice }

func TestTheDeviceIsRead(t *testing.T) {
	record := func(s string) string { return s + " SUBSYSTEM=pci\n DEVICE=+pci:0000:07:00.0\n" }
	for _, c := range []struct {
		name    string
		answers []any
		wait    time.Duration
		want    []string
		reads   int // at most
		state   string
	}{
		{"records", []any{record(fell), other, record(fault)}, 0, []string{"GPU-7 79", "GPU-8 31"}, 4, ""},
		{"a record without end is whole", []any{fell[:len(fell)-1], fault}, 0, []string{"GPU-7 79", "GPU-8 31"}, 3, ""},
		{"records were overwritten", []any{fell, syscall.EPIPE, fault}, 0, []string{"GPU-7 79", "GPU-8 31"}, 4, ""},
		{"a device that is always overwritten is not asked all the time", repeat(syscall.EPIPE, 50), 10 * time.Second, nil, 12, ""},
		{"a device that cannot be polled", append(repeat(syscall.EAGAIN, 5), fell), 5 * time.Second, []string{"GPU-7 79"}, 7, ""},
		{"a device that fails", []any{fell, syscall.EIO, fault}, 29 * time.Second, []string{"GPU-7 79"}, 2, "input/output error"},
		{"a device that failed is opened again", []any{fell, syscall.EIO, fault}, 30 * time.Second, []string{"GPU-7 79", "GPU-8 31"}, 4, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDevice()
				for _, a := range c.answers {
					d.answers <- a
				}
				r := newRig(t, "/dev/kmsg")
				r.open = func(string) (file, error) { d.closed = make(chan struct{}); return d, nil }
				r.run()
				r.pass(c.wait)
				r.want(c.name, c.want...)
				r.wantState(c.state)
				if d.reads > c.reads {
					t.Errorf("it was read %d times, want at most %d", d.reads, c.reads)
				}
				if !d.sought {
					t.Error("it was not read from its end on")
				}
			})
		})
	}
}

func repeat(err error, n int) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = err
	}
	return out
}

// TestARealDeviceNode waits in the poller of a file that is no regular one, takes what comes, and ends with its context.
func TestARealDeviceNode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kmsg")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(path, os.O_RDWR, 0) // so that the reader does not see an end
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	counted := make(chan uint64, 1)
	r := NewReader(ReaderConfig{
		Path:  path,
		Find:  func(Place) (gpu.UUID, bool) { return "GPU-7", true },
		Count: func(_ gpu.UUID, l Line, _ time.Time) { counted <- l.Code },
	})
	end := start(t, r)
	if _, err := w.WriteString(fell); err != nil {
		t.Fatal(err)
	}
	select {
	case code := <-counted:
		if code != 79 {
			t.Errorf("the code is %d, want 79", code)
		}
	case <-time.After(10 * time.Second):
		t.Error("the line was not seen")
	}
	end()
}

// TestTheKernelsOwnLog: /dev/kmsg itself opens, is waited for, and lets go.
func TestTheKernelsOwnLog(t *testing.T) {
	f, err := os.Open("/dev/kmsg")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		t.Skip("the kernel log of this machine cannot be read: ", err)
	}
	_ = f.Close()
	opened := make(chan struct{})
	r := NewReader(ReaderConfig{
		Path:  "/dev/kmsg",
		Find:  func(Place) (gpu.UUID, bool) { return "", false },
		Count: func(gpu.UUID, Line, time.Time) {},
	})
	open := r.open
	r.open = func(path string) (file, error) {
		f, err := open(path)
		return &announced{file: f, reading: opened}, err
	}
	end := start(t, r)
	select {
	case <-opened:
		if ok, reason := r.State(); !ok {
			t.Errorf("it is not read: %s", reason)
		}
	case <-time.After(10 * time.Second):
		t.Error("it was not opened")
	}
	end()
}

// announced tells of its first Read.
type announced struct {
	file
	reading chan struct{}
	told    bool
}

func (a *announced) Read(b []byte) (int, error) {
	if !a.told {
		a.told = true
		close(a.reading)
	}
	return a.file.Read(b)
}

// start runs a reader in real time; end ends it and fails when that takes long.
func start(t *testing.T, r *Reader) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run ended with %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run does not end with its context")
		}
	}
}
