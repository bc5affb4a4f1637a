package projections

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/stave-run/stave/events"
)

// SelectableFields are the fields that a field selector may name for a resource,
// as in Kubernetes.
func SelectableFields(r events.Resource) []string {
	more := map[events.Resource][]string{
		events.Pods: {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
			"status.phase", "status.podIP", "status.nominatedNodeName"},
		events.Nodes:           {"spec.unschedulable"},
		events.Namespaces:      {"status.phase"},
		events.ReplicaSets:     {"status.replicas"},
		events.Controllers:     {"status.replicas"},
		events.Jobs:            {"status.successful"},
		events.CertRequests:    {"spec.signerName"},
		events.DeviceSlices:    {"spec.nodeName", "spec.driver"},
		events.TrustBundles:    {"spec.signerName"},
		events.PodCertRequests: {"spec.signerName", "spec.podName", "spec.nodeName"},
		events.Happenings:      append(referenceFields("involvedObject"), "reason", "reportingComponent", "source", "type"),
		events.Happenings1:     append(referenceFields("regarding"), "reason", "reportingController", "type"),
	}
	return slices.Concat([]string{"metadata.name", "metadata.namespace"}, more[r])
}

// referenceFields are the fields of what an event is about.
func referenceFields(of string) []string {
	var out []string
	for _, f := range []string{"kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"} {
		out = append(out, of+"."+f)
	}
	return out
}

// FieldOf is a selectable field's value as text; one that is not set is empty,
// and a switch that nobody set is "false".
func FieldOf(o events.Object, field string) string {
	switch field {
	case "metadata.name":
		return o.GetName()
	case "metadata.namespace":
		return o.GetNamespace()
	}
	switch o := o.(type) {
	case *corev1.Pod:
		return podField(o, field)
	case *certificatesv1.CertificateSigningRequest:
		return o.Spec.SignerName
	case *resourcev1.ResourceSlice:
		return sliceField(o, field)
	case *certificatesv1.ClusterTrustBundle:
		return o.Spec.SignerName
	case *certificatesv1.PodCertificateRequest:
		return map[string]string{"spec.signerName": o.Spec.SignerName, "spec.podName": o.Spec.PodName, "spec.nodeName": string(o.Spec.NodeName)}[field]
	case *corev1.Node:
		return strconv.FormatBool(o.Spec.Unschedulable)
	case *corev1.Namespace:
		return string(o.Status.Phase)
	case *appsv1.ReplicaSet:
		return strconv.Itoa(int(o.Status.Replicas))
	case *corev1.ReplicationController:
		return strconv.Itoa(int(o.Status.Replicas))
	case *batchv1.Job:
		return strconv.Itoa(int(o.Status.Succeeded))
	case *unstructured.Unstructured:
		return customField(o.Object, field)
	case *corev1.Event:
		return eventField(o, field)
	case *eventsv1.Event:
		return newEventField(o, field)
	}
	return ""
}

func sliceField(s *resourcev1.ResourceSlice, field string) string {
	if field == "spec.driver" {
		return s.Spec.Driver
	}
	if s.Spec.NodeName == nil {
		return ""
	}
	return *s.Spec.NodeName
}

func eventField(e *corev1.Event, field string) string {
	switch field {
	case "reason":
		return e.Reason
	case "reportingComponent":
		return e.ReportingController
	case "source":
		return cmp.Or(e.Source.Component, e.ReportingController)
	case "type":
		return e.Type
	}
	return referenceField(e.InvolvedObject, strings.TrimPrefix(field, "involvedObject."))
}

func newEventField(e *eventsv1.Event, field string) string {
	switch field {
	case "reason":
		return e.Reason
	case "reportingController":
		return e.ReportingController
	case "type":
		return e.Type
	}
	return referenceField(e.Regarding, strings.TrimPrefix(field, "regarding."))
}

func referenceField(r corev1.ObjectReference, field string) string {
	switch field {
	case "kind":
		return r.Kind
	case "namespace":
		return r.Namespace
	case "name":
		return r.Name
	case "uid":
		return string(r.UID)
	case "apiVersion":
		return r.APIVersion
	case "resourceVersion":
		return r.ResourceVersion
	case "fieldPath":
		return r.FieldPath
	}
	return ""
}

func podField(p *corev1.Pod, field string) string {
	switch field {
	case "spec.nodeName":
		return p.Spec.NodeName
	case "spec.restartPolicy":
		return string(p.Spec.RestartPolicy)
	case "spec.schedulerName":
		return p.Spec.SchedulerName
	case "spec.serviceAccountName":
		return p.Spec.ServiceAccountName
	case "spec.hostNetwork":
		return strconv.FormatBool(p.Spec.HostNetwork)
	case "status.phase":
		return string(p.Status.Phase)
	case "status.podIP":
		return p.Status.PodIP
	case "status.nominatedNodeName":
		return p.Status.NominatedNodeName
	}
	return ""
}
