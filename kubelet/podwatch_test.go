package kubelet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// script is a source that does what a test says.
type script struct {
	name  string
	watch func(ctx context.Context, pod func(*corev1.Pod, bool), synced func()) error
	calls atomic.Int32
	probe atomic.Bool
}

func (s *script) Name() string { return s.name }

func (s *script) Watch(ctx context.Context, pod func(*corev1.Pod, bool), synced func()) error {
	s.calls.Add(1)
	return s.watch(ctx, pod, synced)
}

func (s *script) Probe(context.Context) error {
	if s.probe.Load() {
		return nil
	}
	return ErrNoSource
}

func apiPod(uid, name string, phase corev1.PodPhase) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid), Namespace: "ns", Name: name},
		Status:     corev1.PodStatus{Phase: phase},
	}
}

// watching runs a watcher over sources in fake time.
func watching(t *testing.T, f func(t *testing.T, feed func() *Pods, with func(...PodSource))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		var w *PodWatcher
		f(t, func() *Pods {
			synctest.Wait()
			pods, _ := w.Feed().Get()
			return pods
		}, func(sources ...PodSource) {
			w = NewPods(PodsConfig{Sources: sources})
			go func() { done <- w.Run(ctx) }()
		})
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// is describes a list: "u1 u2-" with a minus for those that ended.
func is(p *Pods) string {
	var out []string
	for _, uid := range slices.Sorted(maps.Keys(p.ByUID)) {
		s := string(uid)
		if p.ByUID[uid].Ended {
			s += "-"
		}
		out = append(out, s)
	}
	return fmt.Sprintf("%s synced=%t", strings.Join(out, " "), p.Synced)
}

func want(t *testing.T, p *Pods, text string) {
	t.Helper()
	if got := is(p); got != text {
		t.Fatalf("the list is %q, want %q (%s)", got, text, p.Reason)
	}
}

// A reader that looks seldom sees each pod's end, for ten minutes.
func TestEndedPodsStayForAWhile(t *testing.T) {
	watching(t, func(t *testing.T, list func() *Pods, with func(...PodSource)) {
		tell := make(chan func(pod func(*corev1.Pod, bool)))
		with(&script{watch: func(ctx context.Context, pod func(*corev1.Pod, bool), synced func()) error {
			pod(apiPod("u1", "a", corev1.PodRunning), false)
			pod(apiPod("u2", "b", corev1.PodRunning), false)
			pod(apiPod("u3", "c", corev1.PodSucceeded), false)
			synced()
			for {
				select {
				case f := <-tell:
					f(pod)
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}})
		want(t, list(), "u1 u2 u3- synced=true")
		tell <- func(pod func(*corev1.Pod, bool)) { pod(deleted("u1"), true) }
		want(t, list(), "u1- u2 u3- synced=true")
		if p := list().ByUID["u1"]; p.Name != "a" {
			t.Errorf("%+v lost what was known of it", p)
		}
		// Events of the kubelet may overtake each other.
		tell <- func(pod func(*corev1.Pod, bool)) { pod(apiPod("u1", "a", corev1.PodRunning), false) }
		want(t, list(), "u1- u2 u3- synced=true")
		time.Sleep(tombstone - time.Minute)
		want(t, list(), "u1- u2 u3- synced=true")
		time.Sleep(2 * time.Minute)
		want(t, list(), "u2 synced=true")
	})
}

func deleted(uid string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid), Namespace: "ns"}}
}

// A source that breaks leaves the last list as not synced, and the next complete one drops what is gone.
func TestLostSourceKeepsThePods(t *testing.T) {
	watching(t, func(t *testing.T, list func() *Pods, with func(...PodSource)) {
		broken := make(chan error)
		next := make(chan bool)
		n := 0
		with(&script{name: "the kubelet", watch: func(ctx context.Context, pod func(*corev1.Pod, bool), synced func()) error {
			n++
			if n > 1 {
				select {
				case <-next:
				case <-ctx.Done():
					return ctx.Err()
				}
			} else {
				pod(apiPod("u1", "a", corev1.PodRunning), false)
			}
			pod(apiPod("u2", "b", corev1.PodRunning), false)
			synced()
			select {
			case err := <-broken:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}})
		want(t, list(), "u1 u2 synced=true")
		broken <- errors.New("EOF")
		want(t, list(), "u1 u2 synced=false")
		if r := list().Reason; r != "the kubelet: EOF" {
			t.Errorf("the reason is %q", r)
		}
		time.Sleep(time.Minute)
		want(t, list(), "u1 u2 synced=false") // it is there again but not complete
		next <- true
		want(t, list(), "u2 synced=true")
		broken <- nil // a renewal is no loss
		want(t, list(), "u2 synced=true")
		next <- true
		want(t, list(), "u2 synced=true")
	})
}

// Where the first source is not there the next is used, and the first again once it is.
func TestSourcesInOrder(t *testing.T) {
	for name, c := range map[string]struct {
		first error
		after time.Duration
	}{
		"not there":              {fmt.Errorf("%w: no socket", ErrNoSource), 0},
		"there, but never works": {errors.New("refused"), time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			watching(t, func(t *testing.T, list func() *Pods, with func(...PodSource)) {
				there := atomic.Bool{}
				kubelet := &script{name: "kubelet"}
				kubelet.watch = func(ctx context.Context, pod func(*corev1.Pod, bool), synced func()) error {
					if !there.Load() {
						return c.first
					}
					pod(apiPod("u1", "a", corev1.PodRunning), false)
					synced()
					<-ctx.Done()
					return ctx.Err()
				}
				api := &script{name: "api", watch: func(ctx context.Context, pod func(*corev1.Pod, bool), synced func()) error {
					pod(apiPod("u1", "a", corev1.PodRunning), false)
					pod(apiPod("u2", "b", corev1.PodRunning), false)
					synced()
					<-ctx.Done()
					return ctx.Err()
				}}
				with(kubelet, api)
				time.Sleep(c.after)
				if p := list(); p.Source != "api" {
					t.Fatalf("the source is %q", p.Source)
				}
				want(t, list(), "u1 u2 synced=true")
				time.Sleep(10 * time.Minute)
				if n := api.calls.Load(); n != 1 {
					t.Errorf("the API server's source was started %d times", n)
				}
				there.Store(true)
				kubelet.probe.Store(true)
				time.Sleep(probeEvery + time.Second)
				if p := list(); p.Source != "kubelet" {
					t.Fatalf("the source is %q", p.Source)
				}
				want(t, list(), "u1 synced=true")
			})
		})
	}
}

// A source that breaks at once is not asked in a hot loop.
func TestBackOff(t *testing.T) {
	watching(t, func(t *testing.T, list func() *Pods, with func(...PodSource)) {
		s := &script{watch: func(context.Context, func(*corev1.Pod, bool), func()) error { return nil }}
		with(s)
		time.Sleep(10 * time.Minute)
		if n := s.calls.Load(); n < 30 || n > 100 {
			t.Errorf("asked %d times in ten minutes", n)
		}
		want(t, list(), " synced=false")
	})
}

// A static pod returns under its UID, and its copy at the API server is not the pod.
func TestStaticPods(t *testing.T) {
	static := func(uid string, gone bool, mirror bool) (*corev1.Pod, bool) {
		p := apiPod(uid, "s", corev1.PodRunning)
		p.Annotations = map[string]string{sourceAnnotation: "file"}
		if mirror {
			p.UID = "of the mirror"
			p.Annotations[mirrorAnnotation] = uid
		}
		return p, gone
	}
	watching(t, func(t *testing.T, list func() *Pods, with func(...PodSource)) {
		tell := make(chan func(pod func(*corev1.Pod, bool)))
		with(&script{watch: func(ctx context.Context, pod func(*corev1.Pod, bool), synced func()) error {
			synced()
			for {
				select {
				case f := <-tell:
					f(pod)
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}})
		for _, step := range []struct {
			gone, mirror bool
			list         string
		}{
			{false, false, "hash synced=true"},
			{true, false, "hash- synced=true"},
			{false, false, "hash synced=true"},
			{false, true, "hash synced=true"},
			{true, true, " synced=true"}, // absent, which proves nothing
		} {
			tell <- func(pod func(*corev1.Pod, bool)) { pod(static("hash", step.gone, step.mirror)) }
			want(t, list(), step.list)
		}
	})
}
