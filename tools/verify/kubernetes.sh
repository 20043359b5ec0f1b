#!/usr/bin/env bash
# Installs the chart on the cluster that kubectl talks to, with mutual TLS, signed members, two regions and a claim for
# recordings; places calls through an upgrade of signaling, a rollback, an outage of Redis and the drain of an edge; and
# leaves nothing.
# VERIFY_REGISTRY has antiphon's images; VERIFY_VALUES may name a file of values for this cluster. Ports 4000 and 4010 of
# its nodes have to be free, and claims need a default storage class. One node is enough (kind, k3s).
set -euo pipefail
cd "$(dirname "$0")/../.."
namespace=antiphon-verify
folder=$(mktemp -d)
trap 'helm uninstall antiphon -n $namespace --wait --ignore-not-found || true; kubectl delete namespace $namespace --ignore-not-found; rm -rf "$folder"' EXIT
in_namespace() { kubectl -n $namespace "$@"; }

# Waits for two minutes until a command succeeds.
until_done() { for _ in $(seq 120); do "$@" >/dev/null 2>&1 && return; sleep 1; done; echo "never: $*" >&2; return 1; }

# certificate NAME: a secret antiphon-NAME-tls with a certificate for antiphon-NAME, as cert-manager would make it.
certificate() {
  openssl req -newkey rsa:2048 -nodes -keyout "$folder/$1.key" -out "$folder/$1.csr" -subj "/CN=antiphon-$1" 2>/dev/null
  openssl x509 -req -in "$folder/$1.csr" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" -CAcreateserial -days 2 -out "$folder/$1.crt" \
    -extfile <(printf 'subjectAltName=DNS:antiphon-%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$1") 2>/dev/null
  in_namespace create secret generic "antiphon-$1-tls" --from-file=tls.crt="$folder/$1.crt" --from-file=tls.key="$folder/$1.key" \
    --from-file=ca.crt="$folder/ca.crt"
}

# call SECONDS [moves] [recorded]: in the background, from a worker's pod, until call_went_well asks, and so long at least;
# its words are in $folder/call.
call() {
  url=http://$(in_namespace get service antiphon-signaling -o jsonpath='{.spec.clusterIP}:{.spec.ports[0].port}')
  in_namespace exec -i deployment/antiphon-worker -- env ANTIPHON_URL="$url" python - "$@" \
    < tools/verify/kubernetes_call.py > "$folder/call" 2>&1 &
  calling=$!
  until_done grep -q ^up "$folder/call" || { cat "$folder/call"; return 1; }
}
edge_of_call() { echo "antiphon-$(sed -n 's/^up //p' "$folder/call")"; }
call_went_well() {
  in_namespace exec deployment/antiphon-worker -- touch /tmp/enough
  wait "$calling" || { cat "$folder/call"; return 1; }
  sed 1d "$folder/call"
}

# evict POD: as `kubectl drain` does, which asks the pod's disruption budget.
evict() {
  printf '{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "%s", "namespace": "%s"}}' "$1" $namespace |
    kubectl create --raw "/api/v1/namespaces/$namespace/pods/$1/eviction" --filename -
}
ready='{range .items[*]}{.metadata.name}{" "}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}'
unready() { in_namespace get pods -l "app.kubernetes.io/$1" -o jsonpath="$ready" | grep -v True$ || true; }
signaling_is_ready() { [ "$(in_namespace get deployment antiphon-signaling -o jsonpath='{.status.readyReplicas}')" = "${1#0}" ]; }
restarts() { in_namespace get pods -l app.kubernetes.io/component!=valkey -o jsonpath='{.items[*].status.containerStatuses[*].restartCount}'; }

kubectl create namespace $namespace
in_namespace create secret generic antiphon-auth \
  --from-literal=cluster-secret="$(openssl rand -hex 16)" \
  --from-literal=api-keys="{\"me\": \"$(openssl rand -hex 24)\"}" \
  --from-literal=registration-secrets="[\"$(openssl rand -hex 24)\"]"
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$folder/ca.key" -out "$folder/ca.crt" -days 2 -subj /CN=antiphon-verify 2>/dev/null
certificate edge
certificate worker
cat > "$folder/values.yaml" <<VALUES
image: {registry: "$VERIFY_REGISTRY"}
auth: {existingSecret: antiphon-auth, registrationSecretsKey: registration-secrets}
controlTls: {existingSecret: antiphon-edge-tls}
linkTls: {existingSecret: antiphon-worker-tls}
valkey: {enabled: true}
regions:
  - {name: one, latitude: 50.11, longitude: 8.68, port: 4000}
  - {name: two, latitude: 48.86, longitude: 2.35, port: 4010}
edge: {drainSeconds: 60, disruptionBudget: {minAvailable: 1}, resources: {requests: {cpu: 100m}}}
worker: {drainSeconds: 30, resources: {requests: {cpu: 100m, memory: 512Mi}}}
signaling: {resources: {requests: {cpu: 50m}}}
podDeletionCost: {enabled: true, everySeconds: 1}
recording: {enabled: true, volume: {type: claim, size: 1Gi, accessMode: ReadWriteOnce}}
VALUES
values=(--values "$folder/values.yaml")
[ -z "${VERIFY_VALUES:-}" ] || values+=(--values "$VERIFY_VALUES")

helm lint --strict deploy/helm/antiphon "${values[@]}"
# Every object of every example is one that this API server would take; kinds that it does not know are left out. A pod's
# account is looked up even so.
in_namespace create serviceaccount example-antiphon
for file in deploy/helm/antiphon/ci/*-values.yaml; do
  helm template example deploy/helm/antiphon -n $namespace --values "$file" > "$folder/example.yaml"
  in_namespace apply --dry-run=server --validate=strict --filename "$folder/example.yaml" > "$folder/taken" 2> "$folder/said" || true
  sed -e 's/^\[//' -e 's/, \(resource mapping not found\)/\n\1/g' -e 's/\]$//' "$folder/said" > "$folder/refused"
  if grep -v -e ^Warning: -e '^resource mapping not found' -e '^ensure CRDs are installed' "$folder/refused"; then echo "refused: $file" >&2; exit 1; fi
  echo "$file: $(wc -l < "$folder/taken") objects taken, $(grep -c '^resource mapping' "$folder/refused") of kinds that are not known"
done
in_namespace delete serviceaccount example-antiphon
helm install antiphon deploy/helm/antiphon -n $namespace "${values[@]}" --wait --timeout 10m
helm test antiphon -n $namespace --logs

echo "a call, while signaling is upgraded and rolled back, and nobody may evict its edge"
call 30 recorded
worker=app.kubernetes.io/component=worker
cost='{.items[0].metadata.annotations.controller\.kubernetes\.io/pod-deletion-cost}'
costs_a_call() { [ "$(in_namespace get pods -l $worker -o jsonpath="$cost")" = 1 ]; }
until_done costs_a_call
helm upgrade antiphon deploy/helm/antiphon -n $namespace "${values[@]}" --set signaling.podAnnotations.upgraded=yes --wait --timeout 10m
evict "$(edge_of_call)" > "$folder/evicted" 2>&1 && { echo "an edge with a call was evicted, against its budget" >&2; exit 1; }
grep "disruption budget" "$folder/evicted"
helm rollback antiphon 1 -n $namespace --wait --timeout 10m
call_went_well

echo "a call, while Redis is away and comes back empty"
call 30
before=$(restarts)
in_namespace scale deployment/antiphon-valkey --replicas=0
until_done signaling_is_ready 0
sleep 10 # longer than leases
[ "$(unready component=edge; unready component=worker)" = "" ] || { echo "edges or workers are not ready without Redis" >&2; exit 1; }
in_namespace scale deployment/antiphon-valkey --replicas=1
until_done signaling_is_ready 2
call_went_well
[ "$(restarts)" = "$before" ] || { echo "something was restarted: $before, then $(restarts)" >&2; exit 1; }

echo "a call, while its edge drains"
call 40 moves recorded
in_namespace delete pod "$(edge_of_call)" --wait=false
call_went_well
for region in one two; do in_namespace rollout status --timeout=3m statefulset/antiphon-edge-$region; done
helm test antiphon -n $namespace --logs

helm uninstall antiphon -n $namespace --wait
in_namespace get persistentvolumeclaim antiphon-recordings
nothing_left() { [ -z "$(in_namespace get all -l app.kubernetes.io/component!=test -o name)" ]; }
until_done nothing_left
echo "installed; upgraded, rolled back, without Redis and drained under calls; called again, uninstalled; recordings are there"
