package apiserver

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
)

func (s *fakeServer) patchNode(w http.ResponseWriter, r *http.Request) {
	var patch struct {
		Status struct {
			Capacity, Allocatable map[corev1.ResourceName]*string
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&patch); err != nil || r.Header.Get("Content-Type") != string(types.MergePatchType) {
		s.t.Errorf("patch %v of type %s", err, r.Header.Get("Content-Type"))
	}
	s.mu.Lock()
	for _, l := range []struct {
		to   *corev1.ResourceList
		from map[corev1.ResourceName]*string
	}{{&s.node.Status.Capacity, patch.Status.Capacity}, {&s.node.Status.Allocatable, patch.Status.Allocatable}} {
		if *l.to == nil {
			*l.to = corev1.ResourceList{}
		}
		for name, v := range l.from {
			if v == nil {
				delete(*l.to, name)
				continue
			}
			(*l.to)[name] = quantity(s.t, *v)
		}
	}
	s.writes++
	s.tell(watch.Modified, s.node)
	out := s.node.DeepCopy()
	s.mu.Unlock()
	s.answer(w, r, http.StatusOK, out)
}

func (s *fakeServer) event(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if r.Method == http.MethodPost {
		obj, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
		if err != nil {
			s.t.Error(err)
			return
		}
		e := obj.(*corev1.Event)
		s.events[e.Name] = e
		s.answer(w, r, http.StatusCreated, e)
		return
	}
	name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	e := s.events[name]
	if e == nil {
		s.answer(w, r, http.StatusNotFound, &apierrors.NewNotFound(corev1.Resource("events"), name).ErrStatus)
		return
	}
	if err := json.Unmarshal(body, e); err != nil {
		s.t.Error(err)
	}
	s.answer(w, r, http.StatusOK, e)
}
