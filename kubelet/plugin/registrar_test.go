package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/gpulet/gpulet/kubelet"
	"github.com/gpulet/gpulet/kubelet/plugin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	whole = "nvidia.com/gpu"
	slice = "nvidia.com/mig-1g.10gb"
)

func registered(s plugin.State) bool { return s.Registered }

// sockets are our files in the directory.
func sockets(t *testing.T, dir string) (out []string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, plugin.Prefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		out = append(out, filepath.Base(f))
	}
	return out
}

func TestRegistersAllResourcesAndFollowsTheirLists(t *testing.T) {
	dir := shortDir(t)
	k := newKubelet(t, dir)
	k.start()
	r := run(t, plugin.Config{Dir: dir})
	a, b := lists("a0", "a1"), lists("b0")
	r.Set(map[string]plugin.Handler{whole: a, slice: b})
	r.until(whole, "registered", registered)
	r.until(slice, "registered", registered)
	eventually(t, is("both lists"), func() bool {
		return slices.Equal(k.ids(whole), []string{"a0", "a1"}) && slices.Equal(k.ids(slice), []string{"b0"})
	})
	a.devices.Set(append(devices("a0"), &api.Device{ID: "a1", Health: api.Unhealthy}))
	s := r.until(whole, "one healthy", func(s plugin.State) bool { return s.Healthy == 1 })
	if s.Devices != 2 || s.Listed.IsZero() || s.Since.IsZero() || s.Renewals != 0 {
		t.Errorf("state %+v", s)
	}
	if !strings.HasPrefix(s.Socket, plugin.Prefix+"gpu-") {
		t.Errorf("socket %q", s.Socket)
	}
	if info, err := os.Stat(filepath.Join(dir, s.Socket)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v %v", info, err)
	}
	r.Set(map[string]plugin.Handler{whole: a})
	eventually(t, is("the other resource ended"), func() bool {
		states, _ := r.States().Get()
		return len(k.ids(slice)) == 0 && len(states) == 1 && len(sockets(t, dir)) == 1 && b.streams.Load() == 0
	})
	r.stop()
	if left := sockets(t, dir); len(left) > 0 {
		t.Errorf("sockets left: %v", left)
	}
}

func TestKubeletRestarts(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  plugin.Config
	}{
		{"with events", plugin.Config{Poll: time.Hour}},
		{"with lost events", plugin.Config{WithoutEvents: true, Poll: 5 * time.Millisecond}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := shortDir(t)
			k := newKubelet(t, dir)
			c.cfg.Dir = dir
			r := run(t, c.cfg)
			handlers := map[string]plugin.Handler{}
			for i := range 8 {
				handlers[fmt.Sprintf("nvidia.com/r%d", i)] = lists(fmt.Sprintf("d%d", i))
			}
			r.Set(handlers)
			r.until("nvidia.com/r0", "says that there is no kubelet", func(s plugin.State) bool { return strings.Contains(s.Reason, "is not there") })
			var slowest time.Duration
			for range 20 {
				began := k.start()
				for resource := range handlers {
					eventually(t, is(resource+" listed"), func() bool { return len(k.ids(resource)) == 1 })
					r.until(resource, "registered", registered)
				}
				k.do(func() {
					for _, at := range k.times {
						slowest = max(slowest, at.Sub(began))
					}
				})
				k.stop()
				r.until("nvidia.com/r0", "not registered", func(s plugin.State) bool { return !s.Registered && s.Reason != "" })
			}
			t.Logf("slowest of 20 restarts of 8 resources: all listed %s after the socket appeared", slowest)
			if slowest > 2*time.Second { // the bar is 100 ms; a loaded machine may need longer
				t.Errorf("it took %s until all were listed", slowest)
			}
			if n := k.registrations(); n > 20*8*3/2 {
				t.Errorf("%d registrations for 20 restarts of 8 resources", n)
			}
		})
	}
}

func TestKilledKubeletLeavesItsSocket(t *testing.T) {
	dir := shortDir(t)
	k := newKubelet(t, dir)
	path := filepath.Join(dir, "kubelet.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	r := run(t, plugin.Config{Dir: dir})
	r.Set(map[string]plugin.Handler{whole: lists("a")})
	r.until(whole, "says why", func(s plugin.State) bool { return strings.Contains(s.Reason, "refused") })
	k.start()
	r.until(whole, "registered", registered)
}

func TestSameKubeletIsNotRegisteredWithTwice(t *testing.T) {
	dir := shortDir(t)
	k := newKubelet(t, dir)
	k.start()
	r := run(t, plugin.Config{Dir: dir, Poll: time.Millisecond})
	r.Set(map[string]plugin.Handler{whole: lists("a")})
	r.until(whole, "registered", registered)
	for range 50 { // events that are not a new kubelet
		if err := os.Chmod(filepath.Join(dir, "kubelet.sock"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "checkpoint"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	if n := k.registrations(); n != 1 {
		t.Errorf("%d registrations", n)
	}
}

func TestDirectoryIsReplaced(t *testing.T) {
	for _, without := range []bool{false, true} {
		t.Run(fmt.Sprintf("without events %v", without), func(t *testing.T) {
			dir := filepath.Join(shortDir(t), "d")
			k := newKubelet(t, dir)
			r := run(t, plugin.Config{Dir: dir, WithoutEvents: without, Poll: 5 * time.Millisecond})
			r.Set(map[string]plugin.Handler{whole: lists("a")})
			r.until(whole, "says that there is no directory", func(s plugin.State) bool { return strings.Contains(s.Reason, "directory") })
			for i := range 4 {
				k.start()
				r.until(whole, "registered", registered)
				k.stop()
				var err error
				if i%2 == 0 {
					err = os.RemoveAll(dir)
				} else {
					err = os.Rename(dir, fmt.Sprintf("%s%d", dir, i))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestRenewHasNoGap(t *testing.T) {
	dir := shortDir(t)
	k := newKubelet(t, dir)
	k.start()
	r := run(t, plugin.Config{Dir: dir, View: k, Drain: 5 * time.Second})
	h := lists("a", "b", "c")
	r.Set(map[string]plugin.Handler{whole: h})
	first := r.until(whole, "registered", registered)
	k.lists(whole, 3)
	k.do(func() { k.lowest[whole] = 3 })
	h.options.PreStartRequired = true // asked for again at each registration
	for i := range 10 {
		r.Renew(whole, "the test wants it")
		s := r.until(whole, "renewed", func(s plugin.State) bool { return s.Renewals == i+1 && s.Registered })
		if s.Reason != "the test wants it" || s.Socket == first.Socket {
			t.Errorf("state %+v", s)
		}
	}
	eventually(t, is("old sockets are gone"), func() bool { return len(sockets(t, dir)) == 1 && h.streams.Load() == 1 })
	k.do(func() {
		if k.lowest[whole] < 3 {
			t.Errorf("the kubelet had only %d devices in between", k.lowest[whole])
		}
	})
	if c := k.client(whole); !c.options.PreStartRequired || c.endpoint != r.state(whole).Socket {
		t.Errorf("allocations go to %s with options %v", c.endpoint, c.options)
	}
	r.Renew("nobody/has-it", "")
}

func TestRenewLetsRunningCallsEnd(t *testing.T) {
	dir := shortDir(t)
	k := newKubelet(t, dir)
	k.start()
	r := run(t, plugin.Config{Dir: dir})
	h := lists("a")
	inside, release := make(chan struct{}), make(chan struct{})
	h.prestart = func(ctx context.Context) error {
		close(inside)
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.Set(map[string]plugin.Handler{whole: h})
	r.until(whole, "registered", registered)
	done := make(chan error, 1)
	c := k.client(whole)
	go func() {
		_, err := c.api.PreStartContainer(context.Background(), &api.PreStartContainerRequest{})
		done <- err
	}()
	<-inside
	r.Renew(whole, "test")
	r.until(whole, "renewed", func(s plugin.State) bool { return s.Renewals == 1 })
	if n := len(sockets(t, dir)); n != 2 {
		t.Errorf("%d sockets while a call runs", n)
	}
	close(release)
	if err := <-done; err != nil {
		t.Errorf("the call that ran was broken: %v", err)
	}
	eventually(t, is("the old socket is gone"), func() bool { return len(sockets(t, dir)) == 1 })
}

func TestStopDoesNotWaitForHangingCalls(t *testing.T) {
	dir := shortDir(t)
	k := newKubelet(t, dir)
	k.start()
	r := run(t, plugin.Config{Dir: dir})
	h := lists("a")
	inside := make(chan struct{})
	h.prestart = func(ctx context.Context) error { close(inside); <-ctx.Done(); return ctx.Err() }
	r.Set(map[string]plugin.Handler{whole: h})
	r.until(whole, "registered", registered)
	done := make(chan error, 1)
	c := k.client(whole)
	go func() {
		_, err := c.api.PreStartContainer(context.Background(), &api.PreStartContainerRequest{})
		done <- err
	}()
	<-inside
	r.Renew(whole, "test")
	r.until(whole, "renewed", func(s plugin.State) bool { return s.Renewals == 1 })
	began := time.Now()
	r.stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Run took %s to end", took)
	}
	if err := <-done; err == nil {
		t.Error("the hanging call ended well")
	}
}

func TestAnotherHandlerTakesOver(t *testing.T) {
	dir := shortDir(t)
	k := newKubelet(t, dir)
	k.start()
	r := run(t, plugin.Config{Dir: dir})
	r.Set(map[string]plugin.Handler{whole: lists("a")})
	r.until(whole, "registered", registered)
	k.lists(whole, 1)
	k.do(func() { k.lowest[whole] = 1 })
	r.Set(map[string]plugin.Handler{whole: lists("b")})
	eventually(t, is("the new list"), func() bool { return slices.Equal(k.ids(whole), []string{"b"}) && len(sockets(t, dir)) == 1 })
	k.do(func() {
		if k.lowest[whole] < 1 {
			t.Error("there was a gap")
		}
	})
}

// Before 1.36 the end of the old stream ends the new client: the resource comes back by itself.
func TestRenewOnAnOldKubelet(t *testing.T) {
	dir := shortDir(t)
	k := newKubelet(t, dir)
	k.old = true
	k.start()
	r := run(t, plugin.Config{Dir: dir})
	r.Set(map[string]plugin.Handler{whole: lists("a")})
	r.until(whole, "registered", registered)
	r.Renew(whole, "test")
	r.until(whole, "registered for the third time", func(s plugin.State) bool { return s.Registered && s.Renewals == 2 })
	eventually(t, is("listed"), func() bool { return len(k.ids(whole)) == 1 && len(sockets(t, dir)) == 1 })
}

func TestRefusalsAreToldAndTriedAgain(t *testing.T) {
	dir := shortDir(t)
	k := newKubelet(t, dir)
	k.reject = errors.New("the resource name is bad")
	k.start()
	r := run(t, plugin.Config{Dir: dir})
	r.Set(map[string]plugin.Handler{whole: lists("a")})
	r.until(whole, "says why", func(s plugin.State) bool { return strings.Contains(s.Reason, "the resource name is bad") })
	k.do(func() { k.reject, k.ignore = nil, true })
	r.until(whole, "says that no list is taken", func(s plugin.State) bool { return strings.Contains(s.Reason, "took no list") })
	k.do(func() { k.ignore = false })
	r.until(whole, "registered", registered)
	if n := len(sockets(t, dir)); n != 1 {
		t.Errorf("%d sockets", n)
	}
}

// A registration that a kubelet sits on ends when the next kubelet comes: that one has removed the socket.
func TestNextKubeletDoesNotWaitForTheLast(t *testing.T) {
	dir := shortDir(t)
	last := newKubelet(t, dir)
	last.hang = true
	last.start()
	r := run(t, plugin.Config{Dir: dir})
	r.Set(map[string]plugin.Handler{whole: lists("a")})
	eventually(t, is("the last kubelet is asked"), func() bool { return last.registrations() > 0 })
	next := newKubelet(t, dir)
	next.start()
	r.until(whole, "registered", registered)
}

func TestCallsAreGuarded(t *testing.T) {
	dir := shortDir(t)
	k := newKubelet(t, dir)
	k.start()
	gate := &kubelet.Gate{}
	r := run(t, plugin.Config{Dir: dir, Gate: gate})
	h := lists("a")
	h.allocate = func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		if gate.Wait(ctx) == nil {
			t.Error("the gate is open within Allocate")
		}
		return nil
	}
	r.Set(map[string]plugin.Handler{whole: h})
	r.until(whole, "registered", registered)
	c := k.client(whole)
	if resp, err := c.api.Allocate(t.Context(), &api.AllocateRequest{ContainerRequests: []*api.ContainerAllocateRequest{{}}}); err != nil || len(resp.ContainerResponses) != 1 {
		t.Errorf("Allocate: %v %v", resp, err)
	}
	asked := time.Now()
	if _, err := c.api.GetPreferredAllocation(t.Context(), &api.PreferredAllocationRequest{}); err == nil || !strings.Contains(err.Error(), "a bug in the handler") {
		t.Errorf("a panic became %v", err)
	}
	if gate.Idle() && time.Since(asked) < 100*time.Millisecond {
		t.Error("the gate is open between GetPreferredAllocation and Allocate")
	}
	if err := gate.Wait(t.Context()); err != nil {
		t.Errorf("the gate stays closed: %v", err)
	}
	r.until(whole, "still registered", registered)
}

func TestStaleSockets(t *testing.T) {
	dir := shortDir(t)
	leave := func(name string, live bool, age time.Duration) {
		l, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		if live {
			t.Cleanup(func() { _ = l.Close() })
		} else {
			_ = l.Close()
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	leave("gpulet-gpu-dead.sock", false, time.Minute)
	leave("gpulet-gpu-live.sock", true, time.Minute)
	leave("gpulet-gpu-young.sock", false, 0)
	leave("nvidia-gpu.sock", false, time.Minute)
	if err := os.WriteFile(filepath.Join(dir, "gpulet-file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := run(t, plugin.Config{Dir: dir})
	eventually(t, is("the dead one is gone"), func() bool { return !slices.Contains(sockets(t, dir), "gpulet-gpu-dead.sock") })
	r.stop()
	if left := sockets(t, dir); len(left) != 3 {
		t.Errorf("left: %v", left)
	}
	if _, err := os.Stat(filepath.Join(dir, "nvidia-gpu.sock")); err != nil {
		t.Error(err)
	}
}

func TestLongPaths(t *testing.T) {
	for _, c := range []struct {
		length int
		ok     bool
	}{{75, true}, {81, true}, {82, false}, {94, false}} {
		t.Run(strconv.Itoa(c.length), func(t *testing.T) {
			dir := shortDir(t)
			dir = filepath.Join(dir, strings.Repeat("x", c.length-len(dir)-1))
			k := newKubelet(t, dir)
			k.start()
			r := run(t, plugin.Config{Dir: dir})
			resource := "nvidia.com/" + strings.Repeat("long", 15)
			r.Set(map[string]plugin.Handler{resource: lists("a")})
			r.until(resource, "decided", func(s plugin.State) bool {
				return s.Registered == c.ok && (c.ok || strings.Contains(s.Reason, "too long"))
			})
		})
	}
}
