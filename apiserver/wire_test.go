package apiserver

import (
	"encoding/json"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
)

// frames writes the frames of a watch.
func (s *fakeServer) frames(w http.ResponseWriter) func(watch.Event) error {
	flush := func(err error) error { w.(http.Flusher).Flush(); return err }
	if s.json {
		w.Header().Set("Content-Type", "application/json")
		return func(e watch.Event) error {
			return flush(json.NewEncoder(w).Encode(&metav1.WatchEvent{Type: string(e.Type), Object: runtime.RawExtension{Raw: s.encode(e.Object)}}))
		}
	}
	w.Header().Set("Content-Type", runtime.ContentTypeProtobuf+";stream=watch")
	enc := streaming.NewEncoder(protobuf.LengthDelimitedFramer.NewFrameWriter(w), protobuf.NewRawSerializer(scheme.Scheme, scheme.Scheme))
	return func(e watch.Event) error {
		return flush(enc.Encode(&metav1.WatchEvent{Type: string(e.Type), Object: runtime.RawExtension{Raw: s.encode(e.Object)}}))
	}
}

func (s *fakeServer) encode(obj runtime.Object) []byte {
	obj = obj.DeepCopyObject()
	gvks, _, err := scheme.Scheme.ObjectKinds(obj)
	if err != nil {
		s.t.Error(err)
		return nil
	}
	obj.GetObjectKind().SetGroupVersionKind(gvks[0])
	if _, ok := obj.(*metav1.Status); ok {
		obj.GetObjectKind().SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Status"))
	}
	if s.json {
		b, err := json.Marshal(obj)
		if err != nil {
			s.t.Error(err)
		}
		return b
	}
	var b strings.Builder
	if err := protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(obj, &b); err != nil {
		s.t.Error(err)
	}
	return []byte(b.String())
}

func (s *fakeServer) answer(w http.ResponseWriter, _ *http.Request, code int, obj runtime.Object) {
	w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
	if s.json {
		w.Header().Set("Content-Type", runtime.ContentTypeJSON)
	}
	w.WriteHeader(code)
	_, _ = w.Write(s.encode(obj))
}
