package kube_test

//lint:file-ignore SA1019 people still write Endpoints

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	applydiscovery "k8s.io/client-go/applyconfigurations/discovery/v1"
)

func service(name string, selector map[string]string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{Selector: selector, Ports: []corev1.ServicePort{{Name: "sql", Port: 5432}}}}
}

func endpointSlice(name, service string, addresses ...string) *discoveryv1.EndpointSlice {
	port, named := int32(6000), "sql"
	s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &named, Port: &port}}}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
	}
	return s
}

// next is the next event of a watch, in words.
func next(t *testing.T, w watch.Interface) string {
	t.Helper()
	select {
	case e := <-w.ResultChan():
		if s, ok := e.Object.(*discoveryv1.EndpointSlice); ok {
			var all []string
			for _, x := range s.Endpoints {
				all = append(all, x.Addresses...)
			}
			return fmt.Sprint(e.Type, " ", strings.Join(all, " "))
		}
		return fmt.Sprintf("%s %T", e.Type, e.Object)
	case <-time.After(time.Minute):
		t.Fatal("the watch says nothing")
		return ""
	}
}

// Slices that people write are objects like any other.
func TestSlicesAreWritten(t *testing.T) {
	h := open(t)
	c := h.client().DiscoveryV1().EndpointSlices("default")
	if _, err := h.client().CoreV1().Services("default").Create(t.Context(), service("db", nil), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	list, err := c.List(t.Context(), metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=db"})
	if err != nil || len(list.Items) != 0 {
		t.Fatalf("%+v, %v", list, err)
	}
	w, err := c.Watch(t.Context(), metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=db", ResourceVersion: list.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	made, err := c.Create(t.Context(), endpointSlice("db", "db", "192.0.2.9"), metav1.CreateOptions{}) // a service's name is nobody's here
	if err != nil || *made.Ports[0].Protocol != corev1.ProtocolTCP {
		t.Fatalf("%+v, %v", made, err)
	}
	made.Endpoints[0].Addresses[0] = "192.0.2.10"
	if _, err = c.Update(t.Context(), made, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Patch(t.Context(), "db", types.MergePatchType, []byte(`{"metadata":{"annotations":{"a":"b"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	apply := applydiscovery.EndpointSlice("db", "default").WithAddressType(discoveryv1.AddressTypeIPv4).WithEndpoints(applydiscovery.Endpoint().WithAddresses("192.0.2.11"))
	if _, err := c.Apply(t.Context(), apply, metav1.ApplyOptions{FieldManager: "me", Force: true}); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=db"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ADDED 192.0.2.9", "MODIFIED 192.0.2.10", "MODIFIED 192.0.2.10", "MODIFIED 192.0.2.11", "DELETED 192.0.2.11"} {
		if got := next(t, w); got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
	for what, bad := range map[string]*discoveryv1.EndpointSlice{"loopback": endpointSlice("bad", "db", "127.0.0.1"), "link-local": endpointSlice("bad", "db", "169.254.169.254"), "valid IP": endpointSlice("bad", "db", "host")} {
		if _, err := c.Create(t.Context(), bad, metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Endpoints that people write come and go as slices with their service's name.
func TestEndpointsAreWrittenAndMirrored(t *testing.T) {
	h := open(t)
	c := h.client().CoreV1()
	// A service and its Endpoints may come in any order.
	e := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: "db"}, Subsets: []corev1.EndpointSubset{{Addresses: []corev1.EndpointAddress{{IP: "192.0.2.9"}}, Ports: []corev1.EndpointPort{{Port: 80}}}}}
	e, err := c.Endpoints("default").Create(t.Context(), e, metav1.CreateOptions{})
	if err != nil || e.Subsets[0].Ports[0].Protocol != corev1.ProtocolTCP {
		t.Fatalf("%+v, %v", e, err)
	}
	all := metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=db"}
	list, err := h.client().DiscoveryV1().EndpointSlices("default").List(t.Context(), all)
	if err != nil || len(list.Items) != 0 {
		t.Fatalf("%+v, %v", list, err)
	}
	all.ResourceVersion = list.ResourceVersion
	w, err := h.client().DiscoveryV1().EndpointSlices("default").Watch(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if _, err := c.Services("default").Create(t.Context(), service("db", nil), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	e.Subsets[0].Addresses[0].IP = "192.0.2.10"
	if _, err := c.Endpoints("default").Update(t.Context(), e, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Endpoints("default").Delete(t.Context(), "db", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ADDED 192.0.2.9", "MODIFIED 192.0.2.10", "DELETED 192.0.2.10"} {
		if got := next(t, w); got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
	// They go with their service.
	if _, err := c.Endpoints("default").Create(t.Context(), &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: "db"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Services("default").Delete(t.Context(), "db", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Endpoints("default").Get(t.Context(), "db", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("after its service: %v", err)
	}
}

// What follows from a service is there again when somebody deletes it, and nobody
// changes it.
func TestWhatFollowsStays(t *testing.T) {
	h := open(t)
	c := h.client()
	if _, err := c.CoreV1().Services("default").Create(t.Context(), service("web", map[string]string{"app": "web"}), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	both := c.DiscoveryV1().EndpointSlices("default")
	if _, err := both.Create(t.Context(), endpointSlice("web-mine", "web", "192.0.2.9"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	names := func() (out []string) {
		t.Helper()
		list, err := both.List(t.Context(), metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=web"})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list.Items {
			out = append(out, s.Name)
		}
		return out
	}
	was := names()
	if len(was) != 2 || !slices.IsSorted(was) || !slices.Contains(was, "web-mine") {
		t.Fatalf("slices %q", was)
	}
	if err := both.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=web"}); err != nil {
		t.Fatal(err)
	}
	is := names()
	if len(is) != 1 || is[0] == "web-mine" {
		t.Fatalf("slices %q", is)
	}
	s, err := both.Get(t.Context(), is[0], metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Annotations = map[string]string{"a": "b"}; true {
		_, err = both.Update(t.Context(), s, metav1.UpdateOptions{})
	}
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "it follows from a service with a selector") {
		t.Errorf("changed: %v", err)
	}
	if _, err := both.Create(t.Context(), endpointSlice(is[0], "web"), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("made once more: %v", err)
	}
	if _, err := c.CoreV1().Endpoints("default").Create(context.Background(), &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: "web"}}, metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("its Endpoints made once more: %v", err)
	}
	if err := c.CoreV1().Services("default").Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if left := names(); len(left) != 0 {
		t.Errorf("left %q", left)
	}
}
