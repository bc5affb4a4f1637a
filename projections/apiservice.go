package projections

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/stave-run/stave/events"
)

// servedHere tells whether every cluster serves what an APIService is about, so that its service is never asked.
func servedHere(s *apiregistrationv1.APIServiceSpec) bool {
	return events.Served(schema.GroupVersion{Group: s.Group, Version: s.Version}.String())
}

// LocalAPI is the status of an APIService of what is served here, in Kubernetes' words.
func LocalAPI(since time.Time) apiregistrationv1.APIServiceStatus {
	return apiregistrationv1.APIServiceStatus{Conditions: []apiregistrationv1.APIServiceCondition{{Type: apiregistrationv1.Available, Status: apiregistrationv1.ConditionTrue,
		LastTransitionTime: stamp(since), Reason: "Local", Message: "Local APIServices are always available"}}}
}
