package cdi

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tags.cncf.io/container-device-interface/pkg/cdi"

	"github.com/gpulet/gpulet/gpu"
)

// An agent that restarts breaks no container that restarts: old specs go with the first snapshot, not before.
func TestRestart(t *testing.T) {
	f := newFixture(t)
	f.write("cdi/"+fileName(uuid1), "of an earlier run")
	f.write("cdi/"+fileName(uuid1)+".tmp", "interrupted before its rename")
	f.write("cdi/vendor.com-class.json", "another's")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := New(f.cfg).Run(ended, gpu.NewFeed(&gpu.Snapshot{})); err != nil { // looks once
		t.Fatal(err)
	}
	r := f.start()
	if err := r.Ready(gpu.Device{GPU: uuid1}); err == nil || !strings.Contains(err.Error(), "not known yet") {
		t.Errorf("Ready before the first snapshot: %v", err)
	}
	wantFiles(t, f, fileName(uuid1), fileName(uuid1)+".tmp", "vendor.com-class.json")
	r.see(whole(uuid0, 0))
	wantFiles(t, f, driverFile, fileName(uuid0), "vendor.com-class.json")
}

// A spec is a gate: it follows the hardware behind it.
func TestGate(t *testing.T) {
	f := newFixture(t)
	r := f.start()
	id := slice(t, uuid0, "1g.10gb", 3, 1, 0)
	made := func(gi uint32, serial int) gpu.GPU {
		return divided(uuid0, 0, instance(t, gi, "1g.10gb", 3, 1, compute(t, 0, "1g.10gb", 0, serial)))
	}
	file := fileName(id.ID())
	want := func(ready bool, d gpu.Device, reason string, files ...string) {
		t.Helper()
		err := r.Ready(d)
		if ready != (err == nil) || err != nil && !strings.Contains(err.Error(), reason) {
			t.Errorf("Ready: %v, want %v %q", err, ready, reason)
		}
		wantFiles(t, f, append(files, driverFile)...)
	}

	r.see(whole(uuid0, 0))
	want(true, gpu.Device{GPU: uuid0}, "", fileName(uuid0))
	want(false, id, "MIG instance does not exist", fileName(uuid0))

	r.see(made(4, 1))
	want(true, id, "", file)
	want(false, gpu.Device{GPU: uuid0}, "not there as a whole", file)
	if !strings.Contains(f.read("cdi/"+file), fmt.Sprintf("nvidia-cap%d\"", capMinor(0, 4, 0))) {
		t.Error("not the capability of instance 4")
	}

	r.see(made(5, 2)) // made anew with another id
	want(true, id, "", file)
	if got := f.read("cdi/" + file); strings.Contains(got, fmt.Sprintf("nvidia-cap%d\"", capMinor(0, 4, 0))) || !strings.Contains(got, fmt.Sprintf("nvidia-cap%d\"", capMinor(0, 5, 0))) {
		t.Errorf("not the capability of instance 5:\n%s", got)
	}

	lost := made(5, 2)
	lost.Health = gpu.Health{State: gpu.Unhealthy, Reason: "lost"}
	r.see(lost)
	want(true, id, "", file) // a container fails at its GPU, not at a missing spec

	r.see(divided(uuid0, 0))
	want(false, id, "MIG instance does not exist")

	unknown := whole(uuid0, -1)
	r.see(unknown)
	want(false, gpu.Device{GPU: uuid0}, "not there as a whole")
}

// While the kernel's files cannot be read, a spec stays if it stands for the same hardware, and goes if it does not.
func TestKernelFilesAway(t *testing.T) {
	f := newFixture(t)
	r := f.start()
	made := func(gi uint32, serial int) gpu.GPU {
		return divided(uuid0, 0, instance(t, gi, "1g.10gb", 3, 1, compute(t, 0, "1g.10gb", 0, serial)))
	}
	id := slice(t, uuid0, "1g.10gb", 3, 1, 0)
	r.see(made(4, 1), whole(uuid1, 1))
	f.remove("proc/devices")
	r.see(made(4, 1), whole(uuid1, 1))
	if err := r.Ready(id); err == nil || !strings.Contains(err.Error(), "/proc/devices") {
		t.Errorf("Ready: %v", err)
	}
	wantFiles(t, f, driverFile, fileName(id.ID()), fileName(uuid1))
	r.see(made(5, 2), whole(uuid1, 1))
	wantFiles(t, f, driverFile, fileName(uuid1))
	st := r.State()
	if len(st.Devices) != 2 || st.Devices[0].File != "" || st.Devices[0].Reason == "" || st.Devices[1].File == "" || len(st.Reasons) == 0 {
		t.Errorf("State: %+v", st)
	}
}

// Before hardware goes its spec goes, and it comes back with new hardware or when the old one stays.
func TestWithdraw(t *testing.T) {
	f := newFixture(t)
	r := f.start()
	made := func(serial int) gpu.GPU {
		return divided(uuid0, 0, instance(t, 4, "1g.10gb", 3, 1, compute(t, 0, "1g.10gb", 0, serial)))
	}
	id := slice(t, uuid0, "1g.10gb", 3, 1, 0)
	gone := func() {
		t.Helper()
		if err := r.Ready(id); err == nil {
			t.Error("it is ready")
		}
		wantFiles(t, f, driverFile)
	}
	back := func() {
		t.Helper()
		eventually(t, "the spec is back", func() bool { return r.Ready(id) == nil })
		wantFiles(t, f, driverFile, fileName(id.ID()))
	}
	withdraw := func() {
		t.Helper()
		if err := r.Withdraw(id); err != nil {
			t.Fatal(err)
		}
		gone()
	}
	r.see(made(1))
	back()
	withdraw()
	r.see(made(1), whole(uuid1, -1)) // the inventory has not seen it go
	gone()
	r.see(made(2))
	back()
	withdraw()
	r.Restore(id)
	back()
	withdraw()
	r.see(divided(uuid0, 0))
	r.see(made(2))
	back()
}

// What a driver's restart or an administrator changes is noticed without a new snapshot.
func TestLooksAgain(t *testing.T) {
	f := newFixture(t)
	f.cfg.Every = time.Millisecond
	r := f.start()
	r.see(whole(uuid0, 0))
	eventually(t, "the folder is removed beside a writer", func() bool { return os.RemoveAll(f.cfg.Dir) == nil })
	eventually(t, "the specs are back", func() bool { return len(f.files()) == 2 })
	f.remove("driver")
	// While the files go one by one other reasons come first.
	eventually(t, "the driver's root is missed", func() bool { return strings.Contains(r.State().Driver.Reason, "driver's root") })
	st := r.State()
	if st.Driver.Libraries != 0 || st.Driver.File == "" {
		t.Errorf("State: %+v", st.Driver)
	}
	if err := r.Ready(gpu.Device{GPU: uuid0}); err != nil {
		t.Errorf("a GPU without libraries: %v", err)
	}
}

// A folder that cannot be written is a reason, not a crash.
func TestFolderCannotBeWritten(t *testing.T) {
	f := newFixture(t)
	f.write("cdi", "not a folder")
	r := f.start()
	r.see(whole(uuid0, 0))
	if err := r.Ready(gpu.Device{GPU: uuid0}); err == nil {
		t.Error("a device without spec is ready")
	}
	if _, err := r.Nodes(gpu.Device{GPU: uuid0}); err == nil {
		t.Error("nodes of a device that is not ready")
	}
	if st := r.State(); st.Driver.File != "" || st.Driver.Reason == "" || len(st.Reasons) == 0 {
		t.Errorf("State: %+v", st)
	}
}

// A runtime that reads at any time reads a whole spec of one creation.
func TestNoTornSpec(t *testing.T) {
	f := newFixture(t)
	r := f.start()
	made := func(n int) gpu.GPU {
		return divided(uuid0, 0, instance(t, uint32(1+n%2), "1g.10gb", 3, 1, compute(t, uint32(n%2), "1g.10gb", 0, n)))
	}
	r.see(made(0))
	file := filepath.Join(f.cfg.Dir, fileName(slice(t, uuid0, "1g.10gb", 3, 1, 0).ID()))
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			s, err := cdi.ReadSpec(file, 0)
			if err != nil {
				t.Errorf("a reader got %v", err)
				return
			}
			nodes := s.Devices[0].ContainerEdits.DeviceNodes
			gi, ci := nodes[1].Minor, nodes[2].Minor
			if gi != int64(capMinor(0, 1, wholeInstance)) || ci != int64(capMinor(0, 1, 0)) {
				if gi != int64(capMinor(0, 2, wholeInstance)) || ci != int64(capMinor(0, 2, 1)) {
					t.Errorf("a reader got capabilities %d and %d", gi, ci)
					return
				}
			}
		}
	}()
	for n := range 200 {
		r.publish(made(n))
	}
	for n := range 50 {
		r.see(made(n))
	}
	close(stop)
	<-done
}

// Files of the CDI folder can be read by a runtime of another user.
func TestMode(t *testing.T) {
	f := newFixture(t)
	f.start().see(whole(uuid0, 0))
	for _, name := range f.files() {
		info, err := os.Stat(f.path("cdi/" + name))
		if err != nil || info.Mode() != fs.FileMode(0o644) {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
}
