package apiserver

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
)

// stored is an object that the fake server keeps, of any kind.
type stored interface {
	runtime.Object
	metav1.Object
}

// collection says what a path is a collection of: objects of a namespace, all of them, or one of them by name.
func collection(path string) (kind, name string) {
	parts := strings.Split(strings.TrimPrefix(path, "/apis/coordination.k8s.io/v1/"), "/")
	if parts[0] == "namespaces" && len(parts) > 2 {
		parts = parts[2:]
	}
	if len(parts) > 1 {
		name = parts[1]
	}
	return parts[0], name
}

func kindOf(obj runtime.Object) string {
	switch obj.(type) {
	case *corev1.ConfigMap:
		return "configmaps"
	case *corev1.Pod:
		return "pods"
	case *corev1.Node:
		return "nodes"
	case *coordinationv1.Lease:
		return "leases"
	}
	return ""
}

// put stores an object and tells watches.
func (s *fakeServer) put(obj stored) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putLocked(obj)
}

func (s *fakeServer) putLocked(obj stored) {
	key := kindOf(obj) + "/" + obj.GetName()
	event := watch.Modified
	if s.stored[key] == nil {
		event = watch.Added
	}
	if obj.GetUID() == "" {
		obj.SetUID(types.UID("u-" + obj.GetName()))
	}
	s.stored[key] = obj
	s.tell(event, obj)
}

func (s *fakeServer) drop(kind, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	obj := s.stored[kind+"/"+name]
	delete(s.stored, kind+"/"+name)
	s.tell(watch.Deleted, obj)
}

// get gives a copy of what is stored, nil when there is none.
func get[T stored](s *fakeServer, kind, name string) (obj T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.stored[kind+"/"+name]; o != nil {
		return o.DeepCopyObject().(T)
	}
	return obj
}

// chosen reports whether selectors choose an object.
func chosen(fieldSelector, labelSelector string, obj stored) bool {
	fs, err := fields.ParseSelector(fieldSelector)
	if err != nil {
		return false
	}
	ls, err := labels.Parse(labelSelector)
	if err != nil {
		return false
	}
	set := fields.Set{"metadata.name": obj.GetName()}
	if p, ok := obj.(*corev1.Pod); ok {
		set["spec.nodeName"], set["status.phase"] = p.Spec.NodeName, string(p.Status.Phase)
	}
	return fs.Matches(set) && ls.Matches(labels.Set(obj.GetLabels()))
}

// store answers for objects of the store.
func (s *fakeServer) store(w http.ResponseWriter, r *http.Request, path string) {
	kind, name := collection(path)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[r.Method+" "+kind]++
	old := s.stored[kind+"/"+name]
	switch {
	case r.Method == http.MethodPost:
		obj, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
		if err != nil {
			s.t.Error(err)
			return
		}
		if s.stored[kind+"/"+obj.(stored).GetName()] != nil {
			s.answer(w, r, http.StatusConflict, &apierrors.NewAlreadyExists(corev1.Resource(kind), name).ErrStatus)
			return
		}
		s.putLocked(obj.(stored))
		s.answer(w, r, http.StatusCreated, obj)
	case name == "":
		s.list(w, r, kind)
	case old == nil:
		s.answer(w, r, http.StatusNotFound, &apierrors.NewNotFound(corev1.Resource(kind), name).ErrStatus)
	case r.Method == http.MethodGet:
		s.answer(w, r, http.StatusOK, old)
	case r.Method == http.MethodPut:
		obj, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
		if err != nil {
			s.t.Error(err)
			return
		}
		if obj.(stored).GetResourceVersion() != old.GetResourceVersion() {
			s.answer(w, r, http.StatusConflict, &apierrors.NewConflict(corev1.Resource(kind), name, nil).ErrStatus)
			return
		}
		s.putLocked(obj.(stored))
		s.answer(w, r, http.StatusOK, obj)
	case r.Method == http.MethodPatch:
		obj := s.patched(old, types.PatchType(r.Header.Get("Content-Type")), body)
		s.putLocked(obj)
		s.answer(w, r, http.StatusOK, obj)
	}
}

// list needs mu. A list of all comes in pages.
func (s *fakeServer) list(w http.ResponseWriter, r *http.Request, kind string) {
	q := r.URL.Query()
	var found []stored
	for _, key := range slices.Sorted(maps.Keys(s.stored)) {
		if strings.HasPrefix(key, kind+"/") && chosen(q.Get("fieldSelector"), q.Get("labelSelector"), s.stored[key]) {
			found = append(found, s.stored[key])
		}
	}
	meta := metav1.ListMeta{ResourceVersion: strconv.Itoa(s.version)}
	from, _ := strconv.Atoi(q.Get("continue"))
	limit, _ := strconv.Atoi(q.Get("limit"))
	found = found[from:]
	if limit > 0 && len(found) > limit {
		found = found[:limit]
		meta.Continue = strconv.Itoa(from + limit)
	}
	var out runtime.Object
	switch kind {
	case "configmaps":
		l := &corev1.ConfigMapList{ListMeta: meta}
		for _, o := range found {
			l.Items = append(l.Items, *o.(*corev1.ConfigMap))
		}
		out = l
	case "pods":
		l := &corev1.PodList{ListMeta: meta}
		for _, o := range found {
			l.Items = append(l.Items, *o.(*corev1.Pod))
		}
		out = l
	case "nodes":
		l := &corev1.NodeList{ListMeta: meta}
		for _, o := range found {
			l.Items = append(l.Items, *o.(*corev1.Node))
		}
		out = l
	case "leases":
		l := &coordinationv1.LeaseList{ListMeta: meta}
		for _, o := range found {
			l.Items = append(l.Items, *o.(*coordinationv1.Lease))
		}
		out = l
	}
	s.answer(w, r, http.StatusOK, out)
}

// patched applies a patch as the API server does.
func (s *fakeServer) patched(old stored, kind types.PatchType, patch []byte) stored {
	before, err := json.Marshal(old)
	if err != nil {
		s.t.Error(err)
	}
	obj := reflect.New(reflect.TypeOf(old).Elem()).Interface().(stored)
	var after []byte
	switch kind {
	case types.StrategicMergePatchType:
		after, err = strategicpatch.StrategicMergePatch(before, patch, obj)
	case types.MergePatchType:
		var doc, change map[string]any
		if err := json.Unmarshal(before, &doc); err != nil {
			s.t.Error(err)
		}
		if err := json.Unmarshal(patch, &change); err != nil {
			s.t.Error(err)
		}
		merge(doc, change)
		after, err = json.Marshal(doc)
	default:
		s.t.Errorf("a patch of type %s", kind)
	}
	if err != nil {
		s.t.Error(err)
	}
	if err := json.Unmarshal(after, obj); err != nil {
		s.t.Error(err)
	}
	return obj
}

// merge is RFC 7386.
func merge(doc, change map[string]any) {
	for k, v := range change {
		to, both := doc[k].(map[string]any)
		from, deep := v.(map[string]any)
		switch {
		case v == nil:
			delete(doc, k)
		case deep && both:
			merge(to, from)
		case deep:
			doc[k] = map[string]any{}
			merge(doc[k].(map[string]any), from)
		default:
			doc[k] = v
		}
	}
}

// thisNode answers for the one Node.
func (s *fakeServer) thisNode(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[r.Method+" node"]++
	if r.Method == http.MethodPatch {
		s.node = s.patched(s.node, types.PatchType(r.Header.Get("Content-Type")), body).(*corev1.Node)
		s.tell(watch.Modified, s.node)
	}
	s.answer(w, r, http.StatusOK, s.node)
}

func (s *fakeServer) evict(w http.ResponseWriter, r *http.Request, path string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	obj, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
	if err != nil {
		s.t.Error(err)
		return
	}
	e := obj.(*policyv1.Eviction)
	s.do(func() {
		s.evicted = append(s.evicted, r.Method+" "+path+" "+string(*e.DeleteOptions.Preconditions.UID))
	})
	s.answer(w, r, http.StatusCreated, &metav1.Status{Status: metav1.StatusSuccess})
}
