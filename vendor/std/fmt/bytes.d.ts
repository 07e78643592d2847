export interface FormatOptions {
  bits?: boolean;
  binary?: boolean;
  signed?: boolean;
  locale?: boolean | string | string[];
  minimumFractionDigits?: number;
  maximumFractionDigits?: number;
}
/** `1337` to `"1.34 kB"`. */
export declare function format(num: number, options?: FormatOptions): string;
