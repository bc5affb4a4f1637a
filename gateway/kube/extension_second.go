package kube

import (
	"context"
	"net/http"
	"sync"
	"time"

	"k8s.io/kube-openapi/pkg/aggregator"
	"k8s.io/kube-openapi/pkg/handler"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/stave-run/stave/gateway/kube/schema"
)

const secondPath = "/openapi/v2"

// secondAgain is when extensions that did not answer are asked again for their documents of version 2.
const secondAgain = 30 * time.Second

// second is the OpenAPI document of version 2 with what extensions say of what they serve. It is put together by the first
// request for it: clients of today read version 3.
type second struct {
	*Server
	own *schema.Documents
	by  []*extension

	mu   sync.Mutex
	made http.Handler
	next time.Time // when to make it anew; zero: never, all have answered
}

// ServeHTTP implements http.Handler.
func (d *second) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	of, err := d.document()
	if err != nil {
		d.fail(err, w, r)
		return
	}
	of.ServeHTTP(w, r)
}

func (d *second) document() (http.Handler, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made != nil && (d.next.IsZero() || time.Now().Before(d.next)) {
		return d.made, nil
	}
	all, err := d.own.Second()
	if err != nil {
		return nil, err
	}
	d.next = time.Time{}
	for i, more := range d.ask() {
		if more == nil || aggregator.MergeSpecsIgnorePathConflictRenamingDefinitionsAndParameters(all, d.part(i, more)) != nil {
			d.next = time.Now().Add(secondAgain)
		}
	}
	mux := http.NewServeMux()
	handler.NewOpenAPIService(all).RegisterOpenAPIVersionedService(secondPath, schema.Paths{ServeMux: mux})
	d.made = mux
	return mux, nil
}

// part is what an extension's document says of its own group version, and no more.
func (d *second) part(i int, all *spec.Swagger) *spec.Swagger {
	s := &d.by[i].Spec
	return aggregator.FilterSpecByPathsWithoutSideEffects(all, []string{"/apis/" + s.Group + "/" + s.Version + "/"})
}

// ask asks all extensions that are there at once; nil for one that does not answer.
func (d *second) ask() []*spec.Swagger {
	ctx, cancel := context.WithTimeout(context.Background(), offerTime)
	defer cancel()
	out := make([]*spec.Swagger, len(d.by))
	var wait sync.WaitGroup
	for i, x := range d.by {
		if !x.available() {
			continue
		}
		wait.Go(func() {
			raw, err := d.get(ctx, x, secondPath, "application/json")
			said := &spec.Swagger{}
			if err == nil && said.UnmarshalJSON(raw) == nil {
				out[i] = said
			}
		})
	}
	wait.Wait()
	return out
}
