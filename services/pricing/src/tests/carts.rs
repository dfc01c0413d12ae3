//! Thirty carts with gross and net prices, each computed with rational numbers from the
//! definitions, apart from this code; the first ones can be followed in one's head.

use super::{Shop, written};

/// Currency, prices, destination | lines | shipping | offers | items - discount + shipping, tax:
/// total | discount/tax of each line | rate in basis points: net + tax.
const CARTS: &str = "
    EUR gross DE  | 1x1999 std                          | -         | -                | 1999 - 0 + 0, tax 319: 1999         | 0/319                    | 1900: 1680 + 319
    EUR gross DE  | 3x33 std                            | -         | -                | 99 - 0 + 0, tax 16: 99              | 0/16                     | 1900: 83 + 16
    EUR net DE    | 3x33 std                            | -         | -                | 99 - 0 + 0, tax 19: 118             | 0/19                     | 1900: 99 + 19
    EUR net DE    | 1x33 std, 1x33 std, 1x33 std        | -         | -                | 99 - 0 + 0, tax 19: 118             | 0/7, 0/6, 0/6            | 1900: 99 + 19
    EUR gross DE  | 2x1190 std, 3x107 red               | 490 std   | -                | 2701 - 0 + 490, tax 479: 3191       | 0/380, 0/21              | 1900: 2412 + 458; 700: 300 + 21
    EUR net DE    | 2x1000 std, 3x100 red               | 490 std   | -                | 2300 - 0 + 490, tax 494: 3284       | 0/380, 0/21              | 1900: 2490 + 473; 700: 300 + 21
    EUR gross DE  | 2x1190 std, 3x107 red               | 490 goods | -                | 2701 - 0 + 490, tax 474: 3191       | 0/380, 0/21              | 1900: 2363 + 449; 700: 354 + 25
    EUR net DE    | 2x1000 std, 3x100 red               | 499 goods | -                | 2300 - 0 + 499, tax 488: 3287       | 0/380, 0/21              | 1900: 2434 + 462; 700: 365 + 26
    EUR gross DE  | 1x1999 std, 1x2999 std, 2x649 red   | 495 std   | 10%              | 6296 - 630 + 495, tax 873: 6161     | 200/287, 300/431, 130/76 | 1900: 4196 + 797; 700: 1092 + 76
    EUR gross DE  | 1x1999 std, 1x2999 std, 2x649 red   | 495 std   | 10% of 0 2       | 6296 - 330 + 495, tax 921: 6461     | 200/287, 0/479, 130/76   | 1900: 4448 + 845; 700: 1092 + 76
    EUR net DE    | 7x129 std, 1x1 red                  | -         | 33.33%           | 904 - 301 + 0, tax 114: 717         | 301/114, 0/0             | 1900: 602 + 114; 700: 1 + 0
    EUR gross DE  | 1x1000 std, 1x1000 std, 1x1000 red  | 590 std   | -1000            | 3000 - 1000 + 590, tax 351: 2590    | 334/106, 333/107, 333/44 | 1900: 1616 + 307; 700: 623 + 44
    EUR gross DE  | 1x500 red                           | 490 std   | -1000            | 500 - 500 + 490, tax 78: 490        | 500/0                    | 1900: 412 + 78; 700: 0 + 0
    EUR net DE    | 4x2500 std, 2x1250 red              | 690 goods | 15%, -500        | 12500 - 2375 + 690, tax 1795: 12610 | 1900/1539, 475/141       | 1900: 8652 + 1644; 700: 2163 + 151
    EUR gross DE  | 2x2495 std                          | 495 std   | free             | 4990 - 0 + 0, tax 797: 4990         | 0/797                    | 1900: 4193 + 797
    EUR gross DE  | 2x2495 std, 1x995 red               | 495 goods | 100%             | 5985 - 5985 + 495, tax 71: 495      | 4990/0, 995/0            | 1900: 347 + 66; 700: 77 + 5
    EUR net FR    | 1x1250 std, 5x99 red                | 790 std   | 20%              | 1745 - 349 + 790, tax 380: 2566     | 250/200, 99/22           | 2000: 1790 + 358; 550: 396 + 22
    EUR gross FR  | 1x1250 std, 5x99 red, 1x4000 books  | 790 goods | -                | 5745 - 0 + 790, tax 266: 6535       | 0/208, 0/25, 0/0         | 2000: 1185 + 237; 550: 534 + 29
    EUR gross DE  | 1x1500 zero, 1x1500 std             | 300 red   | -                | 3000 - 0 + 300, tax 259: 3300       | 0/0, 0/239               | 1900: 1261 + 239; 700: 280 + 20; 0: 1500 + 0
    EUR net DE    | 1000x1 std, 1000x1 red, 1000x1 zero | 1 std     | -1               | 3000 - 1 + 1, tax 260: 3260         | 1/190, 0/70, 0/0         | 1900: 1000 + 190; 700: 1000 + 70; 0: 1000 + 0
    CHF gross CH  | 3x1995 std, 2x450 red               | 900 goods | 5%, 10% of 1     | 6885 - 430 + 900, tax 507: 7355     | 299/426, 131/19          | 810: 5994 + 485; 260: 854 + 22
    USD net US-CA | 3x1499 std, 1x899 food              | 599 books | -300 of 0        | 5396 - 300 + 599, tax 304: 5999     | 300/304, 0/0             | 725: 4197 + 304
    JPY gross JP  | 1x1000 std                          | -         | -                | 1000 - 0 + 0, tax 91: 1000          | 0/91                     | 1000: 909 + 91
    JPY gross JP  | 3x333 std, 2x108 red                | 550 std   | -                | 1215 - 0 + 550, tax 157: 1765       | 0/91, 0/16               | 1000: 1408 + 141; 800: 200 + 16
    JPY net JP    | 3x333 std, 2x108 red                | 550 std   | 10%              | 1215 - 122 + 550, tax 161: 1804     | 100/90, 22/16            | 1000: 1449 + 145; 800: 194 + 16
    JPY gross JP  | 1x99 std, 1x98 red, 1x97 std        | 500 goods | -100             | 294 - 100 + 500, tax 59: 694        | 34/6, 33/5, 33/6         | 1000: 419 + 42; 800: 216 + 17
    JPY net JP    | 1x5 std, 1x5 std, 1x5 std           | -         | -                | 15 - 0 + 0, tax 2: 17               | 0/1, 0/1, 0/0            | 1000: 15 + 2
    KWD gross KW  | 1x12345 std, 2x1 std                | 1750 std  | 12.5%            | 12347 - 1543 + 1750, tax 598: 12554 | 1543/515, 0/0            | 500: 11956 + 598
    KWD net KW    | 3x1005 std, 1x990 books             | 250 std   | -1               | 4005 - 1 + 250, tax 163: 4417       | 1/151, 0/0               | 500: 3264 + 163
    KWD net KW    | 10x10 std, 10x10 std, 10x10 std     | -         | -101 of 0 1, 50% | 300 - 250 + 0, tax 3: 53            | 100/0, 100/0, 50/3       | 500: 50 + 3
";

#[test]
fn carts_have_the_totals_that_rational_numbers_give() {
    let carts = CARTS.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut count = 0;
    for line in carts {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(written(&Shop::read(line).priced()), columns[4..7], "{line}");
        count += 1;
    }
    assert_eq!(count, 30);
}
