package apiserver

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
)

// fakeServer is an API server that keeps pods, one Node and Events. It answers in protobuf, or in JSON like one that knows no other.
type fakeServer struct {
	t    testing.TB
	json bool

	mu      sync.Mutex
	addr    string
	http    *http.Server // nil while it is away
	l       net.Listener
	version int
	log     []change // what watches are told, in order
	forgot  int      // the newest version that watches cannot start from any more
	pods    map[types.UID]*corev1.Pod
	node    *corev1.Node
	events  map[string]*corev1.Event
	refuse  map[string]*apierrors.StatusError // by method and path suffix
	changed chan struct{}                     // closed at each change
	lists   []string                          // queries of lists of pods
	watches int                               // open
	writes  int
	// stored are objects of the other kinds, and pods and Nodes that the planner sees, by kind and name; see store_test.go.
	stored   map[string]stored
	requests map[string]int // of the store, by method and kind
	evicted  []string
}

type change struct {
	version int
	event   watch.Event
}

func newServer(t testing.TB) *fakeServer {
	s := &fakeServer{
		t: t, version: 10, pods: map[types.UID]*corev1.Pod{}, events: map[string]*corev1.Event{},
		refuse: map[string]*apierrors.StatusError{}, changed: make(chan struct{}),
		stored: map[string]stored{}, requests: map[string]int{},
		node: &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "u-n1", ResourceVersion: "10"}},
	}
	s.start()
	t.Cleanup(s.stop)
	return s
}

// start listens, at the address of before.
func (s *fakeServer) start() {
	s.t.Helper()
	addr := "127.0.0.1:0"
	if s.addr != "" {
		addr = s.addr
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	h := &http.Server{Handler: s}
	s.do(func() { s.addr, s.http, s.l = l.Addr().String(), h, l })
	go func() { _ = h.Serve(l) }()
}

// stop breaks all connections.
func (s *fakeServer) stop() {
	s.mu.Lock()
	h := s.http
	s.http = nil
	s.mu.Unlock()
	if h != nil {
		_ = h.Close()
		_ = s.l.Close() // it may not serve yet
	}
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		s.mu.Lock()
		n := s.watches
		s.mu.Unlock()
		if n == 0 {
			return
		}
	}
}

func (s *fakeServer) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *fakeServer) client(cfg Config) *Client {
	s.t.Helper()
	if cfg.Node == "" {
		cfg.Node = "n1"
	}
	if cfg.Retry == 0 {
		cfg.Retry = 5 * time.Millisecond
	}
	c, err := newClient(cfg, &rest.Config{Host: "http://" + s.addr})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.http.CloseIdleConnections)
	return c
}

// tell needs mu.
func (s *fakeServer) tell(t watch.EventType, obj runtime.Object) {
	s.version++
	obj.(metav1.Object).SetResourceVersion(strconv.Itoa(s.version))
	s.log = append(s.log, change{s.version, watch.Event{Type: t, Object: obj.DeepCopyObject()}})
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *fakeServer) pod(uid types.UID, node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, t := s.pods[uid], watch.Modified
	if p == nil {
		t = watch.Added
		p = &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "p-" + string(uid), Namespace: "ns", UID: uid, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "x"}}},
			Spec:       corev1.PodSpec{NodeName: node},
		}
		s.pods[uid] = p
	}
	s.tell(t, p)
}

func (s *fakeServer) remove(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pods[uid]
	delete(s.pods, uid)
	s.tell(watch.Deleted, p)
}

// forget makes watches of versions before now expire, also the open ones.
func (s *fakeServer) forget() {
	s.do(func() {
		s.forgot = s.version
		s.log = nil
		close(s.changed)
		s.changed = make(chan struct{})
	})
}

func (s *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	path := strings.TrimPrefix(r.URL.Path, "/api/v1/")
	s.mu.Lock()
	for key, refusal := range s.refuse {
		method, suffix, _ := strings.Cut(key, " ")
		if method == r.Method && strings.HasSuffix(path, suffix) {
			s.mu.Unlock()
			s.answer(w, r, int(refusal.ErrStatus.Code), &refusal.ErrStatus)
			return
		}
	}
	s.mu.Unlock()
	switch {
	case r.Method == http.MethodGet && q.Get("watch") != "":
		s.watch(w, r)
	case strings.Contains(path, "/configmaps") || strings.Contains(path, "/leases") ||
		path == "pods" && strings.Contains(q.Get("fieldSelector"), "status.phase") || path == "nodes" && q.Get("fieldSelector") == "":
		s.store(w, r, path)
	case strings.HasSuffix(path, "/eviction"):
		s.evict(w, r, path)
	case path == "nodes/n1" || path == "nodes/n1/status" && r.Header.Get("Content-Type") == string(types.StrategicMergePatchType):
		s.thisNode(w, r)
	case r.Method == http.MethodGet && path == "pods":
		s.mu.Lock()
		s.lists = append(s.lists, r.URL.RawQuery)
		l := &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(s.version)}}
		for _, p := range s.pods {
			if q.Get("fieldSelector") == "spec.nodeName="+p.Spec.NodeName {
				l.Items = append(l.Items, *p.DeepCopy())
			}
		}
		s.mu.Unlock()
		s.answer(w, r, http.StatusOK, l)
	case r.Method == http.MethodGet && path == "nodes":
		s.mu.Lock()
		l := &corev1.NodeList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(s.version)}}
		if q.Get("fieldSelector") == "metadata.name="+s.node.Name {
			l.Items = []corev1.Node{*s.node.DeepCopy()}
		}
		s.mu.Unlock()
		s.answer(w, r, http.StatusOK, l)
	case r.Method == http.MethodPatch && path == "nodes/n1/status":
		s.patchNode(w, r)
	case strings.Contains(path, "/events"):
		s.event(w, r)
	default:
		s.answer(w, r, http.StatusNotFound, &apierrors.NewNotFound(corev1.Resource("x"), path).ErrStatus)
	}
}

func (s *fakeServer) watch(w http.ResponseWriter, r *http.Request) {
	s.do(func() { s.watches++ })
	defer s.do(func() { s.watches-- })
	q := r.URL.Query()
	kind, _ := collection(strings.TrimPrefix(r.URL.Path, "/api/v1/"))
	at, err := strconv.Atoi(q.Get("resourceVersion"))
	if err != nil {
		s.t.Errorf("a watch from %q", q.Get("resourceVersion"))
	}
	frames := s.frames(w)
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	for {
		s.mu.Lock()
		changed := s.changed
		var out []watch.Event
		if at < s.forgot {
			out = append(out, watch.Event{Type: watch.Error, Object: &apierrors.NewResourceExpired("too old resource version").ErrStatus})
		}
		for _, c := range s.log {
			if c.version <= at || kindOf(c.event.Object) != kind {
				continue
			}
			switch e := c.event; {
			case chosen(q.Get("fieldSelector"), q.Get("labelSelector"), e.Object.(stored)):
				out = append(out, e)
			case e.Type == watch.Modified: // it may have been before
				out = append(out, watch.Event{Type: watch.Deleted, Object: e.Object})
			}
		}
		at = s.version
		s.mu.Unlock()
		for _, e := range out {
			if frames(e) != nil || e.Type == watch.Error {
				return
			}
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// run runs a client until the test ends.
func run(t *testing.T, c *Client) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("it did not happen: %s", what)
}
