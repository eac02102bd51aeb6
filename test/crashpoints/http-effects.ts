type Asked = { readonly method: string; readonly url: string };

/** The effect of a request on MLflow; nothing for one that only reads. */
export function describeMlflow({ method, url }: Asked): string | undefined {
  const [path = ''] = url.split('?');
  if (method === 'GET' || method === 'HEAD' || /\/(search|get-[a-z-]+)$/.test(path)) return undefined;
  const short = path
    .replace(/^\/api\/\d\.\d\/(mlflow|mlflow-artifacts)\//, '')
    .replace(/[0-9a-f]{32}/g, '*')
    .replace(/\/\d+\//g, '/*/');
  return `mlflow ${method} ${short}`;
}

/** The effect of a request on an S3 bucket; `sender` is the role of the process that asked. */
export function describeS3({ method, url }: Asked, sender: string): string | undefined {
  if (method === 'GET' || method === 'HEAD') return undefined;
  const [path = '', query = ''] = url.split('?');
  const asked = new URLSearchParams(query);
  const key = decodeURIComponent(path)
    .replace(/^\/[^/]+\/[^/]+\//, '')
    .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '*')
    .replace(/\b[0-9a-f]{64}\b/g, '*')
    .replace(/-[a-z2-7]{16}-a(\d+)/g, '-a$1')
    .replace(/checkpoints\/[^/]+/, 'checkpoints/*')
    .replace(/\b(rec-(first|again)|run-\d{4}-\d)\b/g, '*');
  const part = asked.get('partNumber');
  if (asked.has('uploads')) return `${sender} s3 begin ${key}`;
  if (part !== null) return `${sender} s3 part ${key} ${part}`;
  if (asked.has('uploadId')) return `${sender} s3 ${method === 'POST' ? 'complete' : 'abort'} ${key}`;
  return `${sender} s3 ${method === 'PUT' ? 'put' : method.toLowerCase()} ${key}`;
}
