{{- define "sidekong.name" -}}
{{- printf "%s" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "sidekong.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sidekong.labels" -}}
{{ include "sidekong.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "sidekong.configMap" -}}
{{- .Values.existingConfigMap | default (printf "%s-config" (include "sidekong.name" .)) -}}
{{- end -}}

{{/* Sidekong's container: a native sidecar beside an application, or the Pod's only one. */}}
{{- define "sidekong.container" -}}
- name: sidekong
  image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  {{- if .Values.app.image }}
  restartPolicy: Always # a native sidecar: it starts before the application and ends after it
  {{- end }}
  env:
    - name: KONG_DATABASE
      value: "off"
    - name: KONG_DECLARATIVE_CONFIG
      value: /etc/sidekong
    - name: KONG_PROXY_LISTEN
      value: 0.0.0.0:8000
    - name: KONG_STATUS_LISTEN
      value: 0.0.0.0:8007
    {{- range $name, $value := .Values.settings }}
    - name: KONG_{{ $name | upper }}
      value: {{ $value | toString | quote }}
    {{- end }}
    {{- with .Values.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.envFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    - name: proxy
      containerPort: 8000
    - name: status
      containerPort: 8007
  startupProbe:
    httpGet:
      path: /status/ready
      port: status
    periodSeconds: 1
    failureThreshold: 60
  readinessProbe:
    httpGet:
      path: /status/ready
      port: status
    periodSeconds: 5
  livenessProbe:
    httpGet:
      path: /status
      port: status
    periodSeconds: 10
  lifecycle:
    preStop:
      sleep:
        seconds: {{ .Values.drainSeconds }}
  resources:
    {{- toYaml .Values.resources | nindent 4 }}
  securityContext:
    runAsUser: 1000
    runAsGroup: 1000
    readOnlyRootFilesystem: true
    allowPrivilegeEscalation: false
    capabilities:
      drop: [ALL]
  volumeMounts:
    - name: config
      mountPath: /etc/sidekong
      readOnly: true
    - name: prefix
      mountPath: /usr/local/kong
{{- end -}}
