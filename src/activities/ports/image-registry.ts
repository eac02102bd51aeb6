import type { ResolvedImage } from '../../core/image-reference.js';

/** Registries of container images. */
export interface ImageRegistry {
  /**
   * Which bytes the name of an image stands for now: asked anew each time, and never an error, since a run goes on without it. A
   * problem is half a sentence, for people.
   */
  resolve(image: string): Promise<ResolvedImage>;
}
