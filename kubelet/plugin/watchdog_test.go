package plugin_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpulet/gpulet/kubelet/plugin"
)

func TestWatchdogRenewsWhenTheKubeletForgot(t *testing.T) {
	dir := shortDir(t)
	k := newKubelet(t, dir)
	k.start()
	r := run(t, plugin.Config{Dir: dir, View: k})
	r.Set(map[string]plugin.Handler{whole: lists("a", "b", "c")})
	r.until(whole, "registered", registered)
	k.lists(whole, 3)
	k.believe(whole, "a")
	s := r.until(whole, "renewed", func(s plugin.State) bool { return s.Renewals == 1 })
	if s.Reason != "the kubelet lists 1 of 3 devices" {
		t.Errorf("reason %q", s.Reason)
	}
	eventually(t, is("the whole list"), func() bool { return len(k.ids(whole)) == 3 })
}

func TestWatchdogIsPatient(t *testing.T) {
	dir := shortDir(t)
	k := newKubelet(t, dir)
	k.start()
	r := run(t, plugin.Config{Dir: dir, View: k, Watch: 2 * time.Millisecond, Settle: 20 * time.Millisecond})
	r.Set(map[string]plugin.Handler{whole: lists("a", "b")})
	r.until(whole, "registered", registered)
	k.lists(whole, 2)
	k.do(func() { k.freeze = true })
	k.believe(whole)
	r.until(whole, "renewed", func(s plugin.State) bool { return s.Renewals == 1 })
	eventually(t, is("long enough to renew again"), func() bool { return time.Since(r.state(whole).Listed) > 300*time.Millisecond })
	if s := r.state(whole); s.Renewals != 1 {
		t.Errorf("%d renewals without a pause", s.Renewals)
	}
}

func TestForeignPlugin(t *testing.T) {
	dir := shortDir(t)
	k := newKubelet(t, dir)
	k.start()
	ours := run(t, plugin.Config{Dir: dir, View: k})
	ours.Set(map[string]plugin.Handler{whole: lists("a"), slice: lists("s")})
	ours.until(whole, "registered", registered)
	k.lists(whole, 1)
	other := run(t, plugin.Config{Dir: dir})
	other.Set(map[string]plugin.Handler{whole: lists("x", "y")})
	ours.until(whole, "withdrawn", func(s plugin.State) bool {
		return !s.Registered && strings.Contains(s.Reason, "another plugin serves this resource")
	})
	eventually(t, is("only the other one is left"), func() bool {
		return slices.Equal(k.ids(whole), []string{"x", "y"}) && len(sockets(t, dir)) == 2
	})
	if !ours.state(slice).Registered {
		t.Error("other resources are touched")
	}
	other.stop()
	ours.until(whole, "back", registered)
	eventually(t, is("our list"), func() bool { return slices.Equal(k.ids(whole), []string{"a"}) })
}
