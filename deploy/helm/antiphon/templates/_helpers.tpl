{{- define "antiphon.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "antiphon.labels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* Call with (list . "edge"): what selects a role's pods. */}}
{{- define "antiphon.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "antiphon.image" -}}
{{- $root := index . 0 -}}
{{- $image := $root.Values.image -}}
{{- $path := printf "%s/%s:%s" $image.repository (index . 1) (default $root.Chart.AppVersion $image.tag) -}}
{{- if $image.registry }}{{ $image.registry }}/{{ end }}{{ $path }}{{ with get (default dict $image.digests) (index . 1) }}@{{ . }}{{ end }}
{{- end -}}

{{- define "antiphon.secretName" -}}
{{- required "auth.existingSecret is required: name a secret with the keys cluster-secret and api-keys (values.yaml shows the command)" .Values.auth.existingSecret -}}
{{- end -}}

{{/* Refuses what the schema cannot: what depends on something else. */}}
{{- define "antiphon.check" -}}
{{- $_ := include "antiphon.secretName" . -}}
{{- $sources := 0 -}}
{{- if .Values.redis.url }}{{ $sources = add1 $sources }}{{ end -}}
{{- if .Values.redis.existingSecret }}{{ $sources = add1 $sources }}{{ end -}}
{{- if .Values.valkey.enabled }}{{ $sources = add1 $sources }}{{ end -}}
{{- if eq (int $sources) 0 }}{{ fail "no Redis is named: set redis.url or redis.existingSecret, or valkey.enabled for a trial" }}{{ end -}}
{{- if gt (int $sources) 1 }}{{ fail "more than one Redis is named: set one of redis.url, redis.existingSecret and valkey.enabled" }}{{ end -}}
{{- if and (contains "@" .Values.redis.url) (contains ":" (regexFind "//.*@" .Values.redis.url | trimPrefix "//")) }}{{ fail "redis.url holds a password, which would be seen in the pods' specification: put the URL into a secret and name it in redis.existingSecret" }}{{ end -}}
{{- $names := list -}}
{{- range .Values.regions -}}
{{- if has .name $names }}{{ fail (printf "regions has %s twice: a region's name is unique" .name) }}{{ end -}}
{{- $names = append $names .name -}}
{{- $exposure := mergeOverwrite (deepCopy $.Values.edge.exposure) (default dict .exposure) -}}
{{- if and (eq $exposure.advertise "values") (not $exposure.addresses) }}{{ fail (printf "region %s advertises addresses of the values, but exposure.addresses is empty: name what callers reach it by" .name) }}{{ end -}}
{{- if and (eq $exposure.type "loadBalancer") (ne $exposure.advertise "values") }}{{ fail (printf "region %s is behind a load balancer, whose address pods cannot know: set exposure.advertise to values and exposure.addresses to it" .name) }}{{ end -}}
{{- if and (ne $exposure.type "loadBalancer") (eq $exposure.advertise "values") (gt (int (default $.Values.edge.replicas .replicas)) 1) }}{{ fail (printf "region %s has several edges without a load balancer, which cannot all have the same addresses: set exposure.advertise to nodeIP or nodeAnnotation, or replicas to 1" .name) }}{{ end -}}
{{- $probe := int (default $.Values.edge.probePort .probePort) -}}
{{- if and $probe (has $probe (list (int (default $.Values.edge.port .port)) 4001 4002 4003)) }}{{ fail (printf "region %s has probePort %d, which is taken: use another, such as 4004" .name $probe) }}{{ end -}}
{{- if and (eq $exposure.type "hostNetwork") $.Values.networkPolicy.enabled (not $.Values.networkPolicy.nodeNetworks) }}{{ fail (printf "region %s uses hostNetwork: set networkPolicy.nodeNetworks to the nodes' networks, or its edges could not reach workers" .name) }}{{ end -}}
{{- end -}}
{{- with .Values.worker.autoscaling }}{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) }}{{ fail "worker.autoscaling.minReplicas is more than maxReplicas" }}{{ end }}{{- end -}}
{{- with .Values.signaling.autoscaling }}{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) }}{{ fail "signaling.autoscaling.minReplicas is more than maxReplicas" }}{{ end }}{{- end -}}
{{- with .Values.signaling.ingress }}{{- if and .enabled (not .host) }}{{ fail "signaling.ingress is enabled, but signaling.ingress.host is empty: name the host that callers ask" }}{{ end }}{{- end -}}
{{- with .Values.signaling.gateway }}{{- if and .enabled (not .parents) }}{{ fail "signaling.gateway is enabled, but signaling.gateway.parents is empty: name the Gateway that callers come by" }}{{ end }}{{- end -}}
{{- with .Values.worker.autoscaling }}{{- if and .enabled (eq .by "keda") (not .keda.prometheus) }}{{ fail "worker.autoscaling is by keda, but worker.autoscaling.keda.prometheus is empty: set it to the URL of the Prometheus that scrapes workers" }}{{ end }}
{{- if and .enabled (eq .by "keda") .sessions }}{{ fail "worker.autoscaling.sessions is for by: hpa; with keda, set worker.autoscaling.keda.occupancyPercent" }}{{ end }}{{- end -}}
{{- if and .Values.worker.agents .Values.worker.agentsConfigMap }}{{ fail "set worker.agents (files in the image) or worker.agentsConfigMap, not both" }}{{ end -}}
{{- with .Values.recording -}}
{{- if and .enabled (eq .volume.type "existingClaim") (not .volume.existingClaim) }}{{ fail "recordings are written to a claim of yours, but recording.volume.existingClaim is empty: name it" }}{{ end -}}
{{- if and .volume.existingClaim (ne .volume.type "existingClaim") }}{{ fail (printf "recording.volume.existingClaim is set, but recording.volume.type is %s: set it to existingClaim" .volume.type) }}{{ end -}}
{{- if and (not .bucket.url) (or .bucket.endpoint .bucket.region .bucket.existingSecret) }}{{ fail "recording.bucket.url is empty: set it to s3://bucket/prefix, or leave the rest of recording.bucket empty" }}{{ end -}}
{{- end -}}
{{- $where := dict "enabled" "recording.enabled" "path" "recording.volume" "url" "recording.bucket.url" "endpoint" "recording.bucket.endpoint" "region" "recording.bucket.region" -}}
{{- range $key, $_ := default dict .Values.config.recording -}}
{{- if has $key (list "access_key_id" "secret_access_key") }}{{ fail (printf "config.recording.%s does not belong into a ConfigMap: put the bucket's keys into a secret and name it in recording.bucket.existingSecret" $key) }}{{ end -}}
{{- if hasKey $where $key }}{{ fail (printf "config.recording.%s is set by the chart: set %s instead" $key (get $where $key)) }}{{ end -}}
{{- end -}}
{{- range $key := list "redis" "cluster_secret" "registration_secrets" "auth" }}{{- if hasKey $.Values.config $key }}{{- if ne $key "auth" }}{{ fail (printf "config.%s does not belong into a ConfigMap: it is set from secrets" $key) }}{{- else if hasKey (index $.Values.config $key) "api_keys" }}{{ fail "config.auth.api_keys does not belong into a ConfigMap: put keys into the secret that auth.existingSecret names" }}{{- end }}{{- end }}{{- end -}}
{{- end -}}

{{/* Environment of every service: secrets, Redis, its own address. */}}
{{- define "antiphon.env" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- name: ANTIPHON_CONFIG
  value: /etc/antiphon/config.yaml
{{- with .Values.tracing.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
- name: OTEL_TRACES_SAMPLER
  value: parentbased_traceidratio
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ $.Values.tracing.ratio | quote }}
{{- end }}
- name: ANTIPHON_AUTH__MODE
  value: keys
- name: ANTIPHON_AUTH__API_KEYS
  valueFrom: {secretKeyRef: {name: {{ include "antiphon.secretName" . }}, key: {{ .Values.auth.apiKeysKey }}}}
- name: ANTIPHON_CLUSTER_SECRET
  valueFrom: {secretKeyRef: {name: {{ include "antiphon.secretName" . }}, key: {{ .Values.auth.clusterSecretKey }}}}
{{- with .Values.auth.registrationSecretsKey }}
- name: ANTIPHON_REGISTRATION_SECRETS
  valueFrom: {secretKeyRef: {name: {{ include "antiphon.secretName" $ }}, key: {{ . }}}}
{{- end }}
- name: ANTIPHON_REDIS__URL
  {{- if .Values.redis.existingSecret }}
  valueFrom: {secretKeyRef: {name: {{ .Values.redis.existingSecret }}, key: {{ .Values.redis.urlKey }}}}
  {{- else if .Values.redis.url }}
  value: {{ .Values.redis.url | quote }}
  {{- else }}
  value: redis://{{ default (printf "%s-valkey" (include "antiphon.fullname" .)) .Values.valkey.clusterIP }}:6379/0
  {{- end }}
{{- if and .Values.redis.existingSecret .Values.redis.regionsKey }}
- name: ANTIPHON_REDIS__REGIONS
  valueFrom: {secretKeyRef: {name: {{ .Values.redis.existingSecret }}, key: {{ .Values.redis.regionsKey }}}}
{{- end }}
{{- end -}}

{{/* The host of one of edge.advertise's addresses, as it stands in a URL. */}}
{{- define "antiphon.host" -}}
{{- $address := regexReplaceAll "^(udp|tcp):" . "" -}}
{{- if contains "." $address -}}
{{- regexFind "^[0-9.]+" $address -}}
{{- else if hasPrefix "[" $address -}}
{{- regexFind "^\\[[^]]+\\]" $address -}}
{{- else -}}
[{{ $address }}]
{{- end -}}
{{- end -}}

{{/* Of signaling and edges, where control has mutual TLS. */}}
{{- define "antiphon.controlTlsEnv" -}}
{{- if .Values.controlTls.existingSecret }}
- {name: ANTIPHON_CONTROL_TLS__CERTIFICATE, value: /run/control-tls/tls.crt}
- {name: ANTIPHON_CONTROL_TLS__KEY, value: /run/control-tls/tls.key}
- {name: ANTIPHON_CONTROL_TLS__AUTHORITY, value: /run/control-tls/ca.crt}
- {name: ANTIPHON_CONTROL_TLS__SERVER_NAME, value: {{ .Values.controlTls.serverName | quote }}}
{{- end }}
{{- end -}}

{{- define "antiphon.controlTlsMount" -}}
{{- if .Values.controlTls.existingSecret }}
- {name: control-tls, mountPath: /run/control-tls, readOnly: true}
{{- end }}
{{- end -}}

{{- define "antiphon.controlTlsVolume" -}}
{{- with .Values.controlTls.existingSecret }}
- {name: control-tls, secret: {secretName: {{ . }}, defaultMode: 0440}}
{{- end }}
{{- end -}}

{{/* Of edges and workers that tell Kubernetes how many calls they have. */}}
{{- define "antiphon.deletionCostEnv" -}}
{{- if .Values.podDeletionCost.enabled }}
- {name: ANTIPHON_KUBERNETES__POD, value: $(POD_NAME)}
- {name: ANTIPHON_KUBERNETES__DELETION_COST_EVERY_S, value: {{ .Values.podDeletionCost.everySeconds | toString | quote }}}
{{- end }}
{{- end -}}

{{- define "antiphon.deletionCostMount" -}}
{{- if .Values.podDeletionCost.enabled }}
- {name: kubernetes, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
{{- end }}
{{- end -}}

{{/* What a service account is known by: of short life, and mounted only where it is used. */}}
{{- define "antiphon.accountVolume" -}}
- name: kubernetes
  projected:
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3600}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
{{- end -}}

{{/* A worker that goes takes its calls' patience with it: one at a time, and not for a short lull. */}}
{{- define "antiphon.workerBehavior" -}}
scaleDown:
  stabilizationWindowSeconds: 600
  policies: [{type: Pods, value: 1, periodSeconds: 120}]
{{- end -}}

{{/* Of edges and workers, where the media link has mutual TLS. */}}
{{- define "antiphon.linkTlsEnv" -}}
{{- if .Values.linkTls.existingSecret }}
- {name: ANTIPHON_LINK_TLS__CERTIFICATE, value: /run/link-tls/tls.crt}
- {name: ANTIPHON_LINK_TLS__KEY, value: /run/link-tls/tls.key}
- {name: ANTIPHON_LINK_TLS__AUTHORITY, value: /run/link-tls/ca.crt}
- {name: ANTIPHON_LINK_TLS__SERVER_NAME, value: {{ .Values.linkTls.serverName | quote }}}
{{- end }}
{{- end -}}

{{- define "antiphon.linkTlsMount" -}}
{{- if .Values.linkTls.existingSecret }}
- {name: link-tls, mountPath: /run/link-tls, readOnly: true}
{{- end }}
{{- end -}}

{{- define "antiphon.linkTlsVolume" -}}
{{- with .Values.linkTls.existingSecret }}
- {name: link-tls, secret: {secretName: {{ . }}, defaultMode: 0440}}
{{- end }}
{{- end -}}

{{/* Of signaling and workers, where sessions may be recorded. */}}
{{- define "antiphon.recordingEnv" -}}
{{- with .Values.recording }}
{{- if .enabled }}
- {name: ANTIPHON_RECORDING__ENABLED, value: "true"}
# Below the volume's root, where a file system keeps things of its own.
- {name: ANTIPHON_RECORDING__PATH, value: /var/lib/antiphon/recordings}
{{- with .bucket }}
{{- if .url }}
- {name: ANTIPHON_RECORDING__URL, value: {{ .url | quote }}}
{{- with .endpoint }}
- {name: ANTIPHON_RECORDING__ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- with .region }}
- {name: ANTIPHON_RECORDING__REGION, value: {{ . | quote }}}
{{- end }}
{{- if .existingSecret }}
- name: ANTIPHON_RECORDING__ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .accessKeyIdKey }}}}
- name: ANTIPHON_RECORDING__SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .secretAccessKeyKey }}}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Call with (list . role): workers write; signaling reads and deletes, where what they write is shared and stays. */}}
{{- define "antiphon.recordingMounted" -}}
{{- $recording := (index . 0).Values.recording -}}
{{- if and $recording.enabled (or (eq (index . 1) "worker") (and (not $recording.bucket.url) (ne $recording.volume.type "emptyDir"))) }}yes{{ end -}}
{{- end -}}

{{- define "antiphon.recordingMount" -}}
{{- if include "antiphon.recordingMounted" . }}
- {name: recordings, mountPath: /var/lib/antiphon}
{{- end }}
{{- end -}}

{{- define "antiphon.recordingVolume" -}}
{{- if include "antiphon.recordingMounted" . }}
{{- with (index . 0).Values.recording.volume }}
{{- if eq .type "emptyDir" }}
- {name: recordings, emptyDir: {sizeLimit: {{ .size }}}}
{{- else }}
- {name: recordings, persistentVolumeClaim: {claimName: {{ default (printf "%s-recordings" (include "antiphon.fullname" (index $ 0))) .existingClaim }}}}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Call with (list . role): the id is the pod's name without the release's, since ids are short. */}}
{{- define "antiphon.command" -}}
{{- $root := index . 0 -}}{{- $role := index . 1 -}}
- /bin/sh
- -c
- export ANTIPHON_{{ upper $role }}__ID="${POD_NAME#{{ include "antiphon.fullname" $root }}-}"; {{ index . 2 }}exec antiphon {{ $role }} "$@"
- antiphon
{{- end -}}

{{/* Kubernetes takes one of the two, and values are laid over the default, which is the other. */}}
{{- define "antiphon.disruptionBudget" -}}
{{- if kindIs "invalid" .minAvailable }}maxUnavailable: {{ .maxUnavailable }}{{ else }}minAvailable: {{ .minAvailable }}{{ end }}
{{- end -}}

{{- define "antiphon.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  # Not through all recordings each time that a pod starts.
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "antiphon.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{/* Call with (list . role port). */}}
{{- define "antiphon.probes" -}}
# /livez asks nobody: with Redis gone, live calls go on and nothing is restarted.
startupProbe:
  httpGet: {path: /livez, port: {{ . }}}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: {{ . }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: {{ . }}}
  periodSeconds: 5
  timeoutSeconds: 3
{{- end -}}

{{/* Call with (list . selector): over zones, then over nodes. */}}
{{- define "antiphon.spread" -}}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- $ | nindent 8 }}
  {{- end }}
{{- end -}}

{{- define "antiphon.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "antiphon.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Call with (list . role): a NetworkPolicy's peer. */}}
{{- define "antiphon.from" -}}
- podSelector:
    matchLabels: {{- include "antiphon.selector" . | nindent 6 }}
{{- end -}}
